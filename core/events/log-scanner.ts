import { UserError } from '../errors.js';
import type { Event } from './catalogue.js';
import { parseEventLine, sameWriteMark } from './event-line.js';

/** The version of the log that this Simmer writes, and the newest that it reads; `run.created` says it. */
export const logFormat = 1;

const chunkBytes = 256 * 1024;
const newline = 0x0a;

/** Reads bytes of the log: how many got into the buffer, 0 at the end of the file. */
export type ReadBytes = (buffer: Uint8Array, position: number) => Promise<number>;

/**
 * Reads a run's log from its beginning, and goes on reading as it grows. What a process that died, or a power cut, left
 * of its last write is passed over; anything else that is not as it was written is a UserError `log_damaged`.
 *
 * What a last write may leave behind is a beginning of its bytes, or pages that read as zeros since they never reached
 * the disk, with later pages of the same write after them. Only in the last write: the one after it begins when it is
 * durable. Lines of a write but its first carry `sameWriteMark`, so a line without it says that all before was durable.
 */
export class LogScanner {
  readonly #file: string;
  readonly #read: ReadBytes;
  readonly #fromSequence: number;
  #runId: string | undefined;
  #offset = 0;
  #sequence = 0;

  /** @param fromSequence events before it are counted, not parsed */
  constructor(file: string, read: ReadBytes, fromSequence = 1) {
    this.#file = file;
    this.#read = read;
    this.#fromSequence = fromSequence;
  }

  /** Bytes of the whole events read so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Sequence of the last event read so far. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Goes over whole lines that somebody else has read. */
  pass(bytes: number, events: number): void {
    this.#offset += bytes;
    this.#sequence += events;
  }

  /**
   * The events of the next part of the file, in order; null where no further whole event is there. May be called again
   * after null: what was half an event then may have been finished since. @throws UserError `log_damaged`, `newer_format`
   */
  async advance(): Promise<readonly Event[] | null> {
    const chunk = await this.#wholeLines();
    if (chunk === null) return null;
    const events: Event[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const event = await this.#line(chunk.subarray(start, end));
      if (event === null) return events.length === 0 ? null : events;
      if (event !== 'skipped') events.push(event);
      this.#sequence += 1;
      this.#offset += end + 1 - start;
      start = end + 1;
    }
    return events;
  }

  /** Bytes from the offset that end in a line end; null where there is no line end any more. */
  async #wholeLines(): Promise<Buffer | null> {
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      const count = await this.#read(buffer, this.#offset + length);
      if (count === 0) return null;
      const part = buffer.subarray(0, count);
      const lastEnd = part.lastIndexOf(newline);
      if (lastEnd !== -1) return Buffer.concat([...parts, part.subarray(0, lastEnd + 1)]);
      parts.push(part);
      length += count;
    }
  }

  /** Null where the line is what the last write left half done. */
  async #line(bytes: Buffer): Promise<Event | 'skipped' | null> {
    const expected = this.#sequence + 1;
    // The first line is always read: it says which run and which format.
    if (expected < this.#fromSequence && expected > 1 && !bytes.includes(0)) return 'skipped';
    const event = parseEventLine(bytes.toString('utf8'));
    if (typeof event === 'string') {
      if (bytes.includes(0) && !(await this.#isFollowedByAnotherWrite(this.#offset + bytes.length + 1))) return null;
      throw this.#damaged(event);
    }
    if (event.sequence !== expected) throw this.#damaged(`has the sequence ${event.sequence}, not ${expected}`);
    this.#runId ??= event.runId;
    if (event.runId !== this.#runId) throw this.#damaged(`belongs to the run ${event.runId}, not ${this.#runId}`);
    if (event.type === 'run.created' && event.data.format > logFormat) throw this.#newer(event.data.format);
    return expected < this.#fromSequence ? 'skipped' : event;
  }

  async #isFollowedByAnotherWrite(from: number): Promise<boolean> {
    let position = from;
    let rest = Buffer.alloc(0);
    for (;;) {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      const count = await this.#read(buffer, position);
      const bytes = Buffer.concat([rest, buffer.subarray(0, count)]);
      let start = 0;
      for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
        if (beginsWrite(bytes.toString('utf8', start, end))) return true;
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (count === 0) return rest.toString('utf8').startsWith('{"runId":');
      position += count;
    }
  }

  #damaged(reason: string): UserError {
    return new UserError('log_damaged', `Line ${this.#sequence + 1} of ${this.#file} ${reason}.`, {
      kind: 'environment',
      hint:
        'The log of this run was changed or damaged after it was written. Restore the file from a copy, or start the ' +
        'recipe anew: what its finished stages made is still in the cache.',
    });
  }

  #newer(format: number): UserError {
    return new UserError(
      'newer_format',
      `${this.#file} has the format ${format}; this Simmer reads up to ${logFormat}.`,
      {
        kind: 'environment',
        hint: 'Use the Simmer that made the run, or a newer one.',
      },
    );
  }
}

function beginsWrite(line: string): boolean {
  return !line.startsWith(sameWriteMark) && typeof parseEventLine(line) !== 'string';
}
