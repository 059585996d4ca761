import { createHash } from 'node:crypto';
import type { Event } from '../../core/events/catalogue.js';
import { EventBus } from '../../core/events/event-bus.js';
import { type LogFileSystem, RunLog } from '../../core/events/run-log.js';
import type { Burst } from './log-script.js';

export const tortureRunId = 'torture';

interface ScriptRunOptions {
  readonly file: string;
  readonly bursts: readonly Burst[];
  readonly fileSystem?: LogFileSystem;
  onOpened?(lastSequence: number, droppedBytes: number): void;
  /** The emitter was told that an event is durable. */
  onAcknowledged?(event: Event): void;
  /** A subscriber got it. */
  onSeen?(event: Event): void;
  /** @default all of the script */
  readonly maxEvents?: number;
}

/**
 * Takes a run up where its log ends, and emits the rest of its script through the bus.
 * @returns the log's failure, where it failed
 * @throws what opening the log throws
 */
export async function runLogScript(options: ScriptRunOptions): Promise<Error | undefined> {
  const { fileSystem } = options;
  const { log, lastSequence, droppedBytes } = await RunLog.open(
    options.file,
    fileSystem === undefined ? {} : { fileSystem },
  );
  options.onOpened?.(lastSequence, droppedBytes);
  const bus = new EventBus({ runId: tortureRunId, log, lastSequence, now: () => new Date(0) });
  let failure: Error | undefined;
  void bus.failure.then((error) => {
    failure = error;
  });
  bus.batches$.subscribe((events) => {
    for (const event of events) options.onSeen?.(event);
  });
  let toSkip = lastSequence;
  let toEmit = options.maxEvents ?? Number.POSITIVE_INFINITY;
  for (const { drafts, waits } of options.bursts) {
    const rest = drafts.slice(toSkip, toSkip + toEmit);
    toSkip = Math.max(0, toSkip - drafts.length);
    toEmit -= rest.length;
    const emitted = rest.map(async (draft) => {
      // A refusal is no end: a core goes on for a while, and nothing that it still says may be acknowledged.
      const event = await bus.emit(draft).catch(() => undefined);
      if (event !== undefined) options.onAcknowledged?.(event);
    });
    if (waits) await Promise.all(emitted);
    else await new Promise(setImmediate);
  }
  await bus.close();
  return failure;
}

/** What stands for an event where only its being the same matters. */
export function fingerprint(event: object): string {
  return createHash('sha256').update(JSON.stringify(event)).digest('hex').slice(0, 16);
}
