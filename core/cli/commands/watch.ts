import { setTimeout } from 'node:timers/promises';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, toErrorRecord, UserError } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { earlierEvents } from '../earlier-events.js';
import { onInterrupt } from '../interrupts.js';
import { openWorkspace } from '../open-workspace.js';
import { exitCodeOfFailedRun } from '../print-error.js';
import { printErrorRecord } from '../report-error.js';
import { sayToPeople, writeJsonLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

interface WatchFlags extends WorkspaceFlags {
  /** Sequence of the first event to tell. */
  readonly from?: number;
}

/** How often it is looked whether somebody still writes the run. */
const ownerMilliseconds = 1000;

/** `simmer watch`: a run from its first event on, or a later one, until it ends. */
export async function watch(name: string, flags: WatchFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const run = await workspace.find(name);
  const from = flags.from ?? 1;
  // Of a run that has ended, the end is read in any case: it says how.
  const first = Math.min(from, Math.max(1, run.events));
  const detached = new AbortController();
  using _signals = onInterrupt(() => detached.abort());
  const abandoned = new AbortController();
  const signal = AbortSignal.any([detached.signal, abandoned.signal]);
  let last: Event | undefined;
  let isTelling = false;
  const follow = async (
    options: Parameters<typeof workspace.watch>[1],
    tell: (event: Event) => Promise<void> | void,
  ) => {
    for await (const event of workspace.watch(run, options)) {
      isTelling = true;
      await tell(event);
      isTelling = false;
      last = event;
    }
  };

  const console = flags.json ? undefined : workspace.console({ after: from - 1 });
  if (console !== undefined) {
    for await (const event of earlierEvents(workspace, run, first - 1)) {
      if (detached.signal.aborted) break;
      await console.onEvent(event);
    }
  }
  // Only now: while these are counted in, which may take long, nothing is told.
  void noticeAbandonment(
    () => workspace.isHeld(run),
    signal,
    () => abandoned.abort(),
    () => (isTelling ? undefined : (last?.sequence ?? 0)),
  );
  if (console === undefined) {
    await follow({ from: first, signal }, (event) => (event.sequence < from ? undefined : writeJsonLine(event)));
  } else {
    await follow({ from: first, signal }, (event) => console.onEvent(event));
    await console.close?.();
  }
  if (detached.signal.aborted) return detach(run);
  if (last !== undefined && last.sequence < from) {
    sayToPeople(`Run ${run.runId} ended with event ${last.sequence} (${last.type}): there is none from ${from} on.`);
  }
  return conclude(run, last);
}

/**
 * Ends the watching of a run that has no end and that nobody writes any more: its core was killed.
 * @param waitsAfter sequence of the last event told; undefined while one is told, to a reader who may take any time
 */
async function noticeAbandonment(
  isHeld: () => Promise<boolean>,
  signal: AbortSignal,
  act: () => void,
  waitsAfter: () => number | undefined,
): Promise<void> {
  let quietSince: number | undefined;
  while (!signal.aborted) {
    await setTimeout(ownerMilliseconds, undefined, { signal, ref: false }).catch(() => undefined);
    // A server that cannot be asked is being started again, perhaps: the watching itself will tell.
    const held = await isHeld().catch(() => true);
    const sequence = waitsAfter();
    // Twice without an owner and without a new event: the first look may fall between a crash and its last lines.
    if (!held && sequence !== undefined && quietSince === sequence) return act();
    quietSince = held ? undefined : sequence;
  }
}

function detach(run: RunSummary): number {
  sayToPeople(`The run goes on. Watch it again with: simmer watch ${run.runId}`);
  return exitCodes.interrupted;
}

function conclude(run: RunSummary, last: Event | undefined): number {
  switch (last?.type) {
    case 'run.completed':
      return exitCodes.ok;
    case 'run.failed':
      printErrorRecord(last.data.error);
      return exitCodeOfFailedRun(last.data.error);
    case 'run.interrupted':
      return exitCodes[last.data.error?.kind ?? 'interrupted'];
    default: {
      const error = new UserError('run_abandoned', `Run ${run.runId} has no end, and no process writes it any more.`, {
        kind: 'runFailed',
        hint: `It was killed. Go on with: simmer resume ${run.runId}`,
      });
      printErrorRecord(toErrorRecord(error));
      return exitCodes.runFailed;
    }
  }
}
