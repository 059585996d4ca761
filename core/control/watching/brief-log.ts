import { LogScanner } from '../../events/log-scanner.js';
import { makeDurable, openLog, reader } from '../../events/replay.js';
import type { Turns } from '../turns.js';
import { type EventLine, encodeWatchResponse, type GapItem } from './event-messages.js';

interface BriefReader {
  /** Each part of the file is read in a turn of its own: a long log takes seconds. */
  readonly turns: Turns;
  /** Aborted: nobody wants more. */
  readonly signal: AbortSignal;
}

/**
 * What a log holds by now, in brief (see `ScanOptions`), from a sequence on: a `WatchRunResponse`, encoded, for each part
 * of the file that says anything. A gap stands for what is left out between two events.
 * @throws UserError `log_missing`, `log_damaged`, `newer_format`, `log_failed`
 */
export async function* briefMessages(
  file: string,
  fromSequence: number,
  { turns, signal }: BriefReader,
): AsyncIterable<Buffer> {
  await using handle = await openLog(file);
  // What is written later may not be on the disk yet.
  const { size } = await handle.stat();
  await makeDurable(file, handle);
  const read = reader(file, handle);
  const readDurable = async (buffer: Uint8Array, position: number) =>
    position < size ? read(buffer.subarray(0, size - position), position) : 0;
  const scanner = new LogScanner(file, readDurable, { isBrief: true });
  let next = fromSequence;
  const advance = () => turns.take(async () => (signal.aborted ? null : scanner.advance()));
  for (let events = await advance(); events !== null; events = await advance()) {
    const items: (EventLine | GapItem)[] = [];
    for (const event of events) {
      const { sequence, type } = event;
      if (sequence < next) continue;
      if (sequence > next) items.push(gapBetween(next, sequence));
      items.push({ sequence, type, json: Buffer.from(JSON.stringify(event)) });
      next = sequence + 1;
    }
    if (items.length > 0) yield encodeWatchResponse(items);
  }
}

function gapBetween(firstSequence: number, next: number): GapItem {
  return { gap: { dropped: next - firstSequence, firstSequence, lastSequence: next - 1 } };
}
