import { setTimeout as wait } from 'node:timers/promises';
import { readRunState } from '../engine/run-history.js';
import type { RunOutcome } from '../engine/run-outcome.js';

/** Longer than a trainer takes to save a checkpoint, mostly. */
const patienceMilliseconds = 15_000;

interface StoppingRun {
  readonly runId: string;
  readonly runFolder: string;
  /** Resolves when it has stopped. */
  readonly gone: Promise<void>;
}

/** Tells what keeps a run from stopping, where that takes long: a stage in this process cannot be ended from outside. */
export async function tellSlowStop(
  { runId, runFolder, gone }: StoppingRun,
  log: (message: string) => void,
  milliseconds = patienceMilliseconds,
): Promise<void> {
  const stopped = new AbortController();
  void gone.then(() => stopped.abort());
  await wait(milliseconds, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
  if (stopped.signal.aborted) return;
  const { stages } = await readRunState(runFolder);
  const open = Object.entries(stages).flatMap(([name, { status }]) => (status === 'running' ? [name] : []));
  const what = open.length === 0 ? '' : ` by ${open.join(', ')}`;
  log(
    `${runId}: was told to stop ${milliseconds / 1000} s ago, and is kept from it${what}. It keeps its slots until then.`,
  );
}

/** Clients and plugins say what goes into it: it is to look like no other line, and to do nothing to a terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\s]+/gu, ' ');
}

/** What the server's owner is told of the end of a run. */
export function ended(outcome: RunOutcome): string {
  switch (outcome.status) {
    case 'completed':
      return outcome.status;
    case 'failed':
      return `failed, ${outcome.error.code}: ${outcome.error.message}`;
    case 'interrupted':
      return `stopped, ${outcome.reason}`;
  }
}
