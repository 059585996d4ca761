import { type FileHandle, open } from 'node:fs/promises';
import type { Event } from './catalogue.js';
import { parseEventLine } from './event-line.js';

/** Long enough for the first event of a log, and for most last ones. */
const edgeBytes = 64 * 1024;

/** The first and the last event of a log. */
interface LogEdges {
  readonly first: Event;
  /** Undefined where the last whole line is none. */
  readonly last: Event | undefined;
}

/** The edges of a log: quick, however long it is. Undefined where it cannot be read, or its first line is no event. */
export async function readLogEdges(file: string): Promise<LogEdges | undefined> {
  await using handle = await open(file, 'r').catch(() => undefined);
  // What is wrong with the disk, whoever reads all of it is told.
  return handle && (await edgesOf(handle).catch(() => undefined));
}

async function edgesOf(handle: FileHandle): Promise<LogEdges | undefined> {
  const { size } = await handle.stat();
  const head = Buffer.alloc(Math.min(size, edgeBytes));
  await handle.read(head, 0, head.length, 0);
  const first = parseEventLine(head.toString('utf8', 0, Math.max(0, head.indexOf('\n'))));
  if (typeof first === 'string') return undefined;
  const last = parseEventLine(await readLastLine(handle, size));
  return { first, last: typeof last === 'string' ? undefined : last };
}

/** The last line that has its end. An event may be of any length: of a failed run, say, with all that a plugin threw. */
async function readLastLine(handle: FileHandle, size: number): Promise<string> {
  for (let bytes = edgeBytes; ; bytes *= 4) {
    const tail = Buffer.alloc(Math.min(size, bytes));
    await handle.read(tail, 0, tail.length, size - tail.length);
    const end = tail.lastIndexOf('\n');
    const start = end < 1 ? -1 : tail.lastIndexOf('\n', end - 1);
    if (start >= 0 || tail.length === size) return tail.toString('utf8', start + 1, Math.max(0, end)).trimStart();
  }
}
