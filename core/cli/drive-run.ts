import { cancelSignal } from '../engine/cancel-run.js';
import type { RunOutcome } from '../engine/run-outcome.js';
import { exitCodes, UserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import { onCancel, onInterrupt } from './interrupts.js';
import { exitCodeOfFailedRun } from './print-error.js';
import { printErrorRecord } from './report-error.js';
import { onOutputGone, sayToPeople, writeJsonLine } from './terminal.js';
import type { StartedRun, StartOptions, Workspace } from './workspace.js';

interface DriveRunOptions {
  readonly workspace: Workspace;
  /** What stdout is for: the view for people, the run's events as JSON, or something that the caller prints later. */
  readonly stdout: 'view' | 'events' | 'result';
  /** The last event of the run so far, where it is taken up again. @default 0 */
  readonly lastSequence?: number;
  /** The events up to it: the view counts them in. */
  history?(): AsyncIterable<Event>;
  start(options: StartOptions): Promise<StartedRun>;
}

/** Starts a run, shows it until it ends, stops it on Ctrl-C, and returns the exit code. */
export async function driveRun(options: DriveRunOptions): Promise<number> {
  const { stdout, lastSequence = 0 } = options;
  const stopping = new AbortController();
  let handle: StartedRun | undefined;
  let isUnread = false;
  const stop = (reason: string) => {
    if (stopping.signal.aborted) return;
    stopping.abort(new UserError('interrupted', reason, { kind: 'interrupted' }));
    if (stdout === 'events') {
      sayToPeople(`${reason}: stopping, what is paid for is kept. Once more ends it at once.`);
    }
    handle?.interrupt(reason);
  };
  using _signals = onInterrupt(stop);
  using _cancel = onCancel(stop, () => handle?.dropReplies());
  using _output = onOutputGone((error) => {
    // Each write fails.
    if (isUnread) return;
    const reason = error === undefined ? 'nobody reads the output' : `the output cannot be written: ${error.message}`;
    isUnread = true;
    if (stdout === 'view') sayToPeople(`Stopping: ${reason}.`);
    stop(reason);
  });

  const console = consoleOf(options, stopping.signal);
  if (console !== undefined) for await (const event of options.history?.() ?? []) await console.onEvent(event);
  const sinks = console === undefined ? [] : [console];
  handle = await options.start({ signal: stopping.signal, sinks, cancelSignal });
  if (stopping.signal.aborted) handle.interrupt(stopping.signal.reason.message);
  if (stdout === 'events') {
    for await (const event of handle.follow(lastSequence + 1)) await writeJsonLine(event);
  }
  return conclude(handle.runId, await handle.finished, console === undefined || isUnread);
}

/** Beside events, people get their view on stderr, if that is a terminal which the events do not go to as well. */
function consoleOf({ stdout, workspace, lastSequence = 0 }: DriveRunOptions, signal: AbortSignal) {
  if (stdout === 'events' && (process.stdout.isTTY || !process.stderr.isTTY)) return undefined;
  return workspace.console({ stream: stdout === 'view' ? 'stdout' : 'stderr', signal, after: lastSequence });
}

function conclude(runId: string, outcome: RunOutcome, isQuiet: boolean): number {
  switch (outcome.status) {
    case 'completed':
      return exitCodes.ok;
    case 'failed':
      printErrorRecord(outcome.error);
      if (isQuiet) sayToPeople(onceMended(runId));
      return exitCodeOfFailedRun(outcome.error);
    case 'interrupted':
      if (outcome.error !== undefined) {
        printErrorRecord(outcome.error);
        return exitCodes[outcome.error.kind ?? 'interrupted'];
      }
      if (isQuiet) sayToPeople(`Stopped (${outcome.reason}). Go on with: simmer resume ${runId}`);
      return exitCodes.interrupted;
  }
}

function onceMended(runId: string): string {
  return `Once mended in the recipe: simmer run again, which does nothing twice; once mended elsewhere: simmer resume ${runId}`;
}
