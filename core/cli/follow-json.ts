import { join } from 'node:path';
import type { Event } from '../events/catalogue.js';
import { followEvents, readEvents } from '../events/replay.js';
import { writeLine } from './terminal.js';

/**
 * Writes a run's events to stdout as they become durable, one JSON object a line. Read from the log and not from the
 * bus: a slow reader of stdout then loses nothing and holds up nobody.
 *
 * @param ended resolves when the run's writer has ended: a run that could not write its last event ends this too
 */
export async function followAsJson(
  runFolder: string,
  fromSequence: number,
  ended: Promise<unknown>,
): Promise<Event | undefined> {
  const file = join(runFolder, 'events.jsonl');
  const writerGone = new AbortController();
  let last: Event | undefined;
  const write = async (events: AsyncIterable<Event>) => {
    for await (const event of events) {
      if (last !== undefined && event.sequence <= last.sequence) continue;
      await writeLine(JSON.stringify(event));
      last = event;
    }
  };
  void ended.then(() => writerGone.abort());
  await write(followEvents(file, { fromSequence, signal: writerGone.signal }));
  await ended;
  await write(readEvents(file, { fromSequence: last === undefined ? fromSequence : last.sequence + 1 }));
  return last;
}
