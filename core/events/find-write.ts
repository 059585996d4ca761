import { parseEventLine, sameWriteMark } from './event-line.js';
import type { ReadBytes } from './log-scanner.js';

const chunkBytes = 256 * 1024;
const newline = 0x0a;
const mark = sameWriteMark.charCodeAt(0);

/** The first line of a write: all before it is durable. */
interface WriteStart {
  readonly offset: number;
  readonly sequence: number;
}

/**
 * Looks for a write that begins with an event or shortly before it, by halving what is left of the log: some megabytes are
 * read, however long the log is. Undefined where none but the first is known to.
 * @param end offset up to which is looked
 */
export async function findWrite(read: ReadBytes, end: number, sequence: number): Promise<WriteStart | undefined> {
  let found: WriteStart | undefined;
  let high = end;
  for (let low = 0; high - low > chunkBytes; ) {
    const middle = Math.floor((low + high) / 2);
    const start = await firstWrite(read, middle, high);
    if (start !== undefined && start.sequence <= sequence) {
      found = start;
      low = start.offset;
    } else {
      high = middle;
    }
  }
  return found;
}

/** The first write that begins in a part of the log; undefined where its first line is no event, too. */
async function firstWrite(read: ReadBytes, from: number, to: number): Promise<WriteStart | undefined> {
  let rest = Buffer.alloc(0);
  // What stands before the first line end belongs to a line that began earlier.
  let isWhole = false;
  for (let position = from; position < to; ) {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const count = await read(buffer, position);
    if (count === 0) return undefined;
    const bytes = Buffer.concat([rest, buffer.subarray(0, count)]);
    const first = position - rest.length;
    let start = 0;
    for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
      if (isWhole && bytes[start] !== mark) {
        const event = parseEventLine(bytes.toString('utf8', start, end));
        return typeof event === 'string' ? undefined : { offset: first + start, sequence: event.sequence };
      }
      isWhole = true;
      start = end + 1;
    }
    rest = bytes.subarray(start);
    position += count;
  }
  return undefined;
}
