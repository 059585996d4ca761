import { UserError } from '../errors.js';
import type { Event } from './catalogue.js';
import { parseEventLine, sameWriteMark, stageOfSubject, telemetrySubject, typeOfLast } from './event-line.js';

/** The version of the log that this Simmer writes, and the newest that it reads; `run.created` says it. */
export const logFormat = 1;

const chunkBytes = 256 * 1024;
const newline = 0x0a;

/** Reads bytes of the log: how many got into the buffer, 0 at the end of the file. */
export type ReadBytes = (buffer: Uint8Array, position: number) => Promise<number>;

export interface ScanOptions {
  /** Events before it are counted, not parsed. @default 1 */
  readonly fromSequence?: number;
  /**
   * Whether of the telemetry between two facts, and after the last one, only the last of each type and stage is told: the
   * rest is counted, not parsed. Quick, however many steps a training has. @default false
   */
  readonly isBrief?: boolean;
  /**
   * Keys of stages: of other telemetry than theirs nothing is told. It is counted, not parsed, so that the pool of a run is
   * soon read where a training of a million steps came after it. @default all is told
   */
  readonly stageKeys?: readonly string[];
}

/** A line that is perhaps told. */
interface KeptLine {
  readonly bytes: Buffer;
  readonly sequence: number;
}

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
  readonly #isBrief: boolean;
  readonly #stageKeys: readonly string[] | undefined;
  /** Names of stages that have one of these keys, as far as the log was read. */
  readonly #stages = new Set<string | undefined>();
  /** Whether telemetry is told, by its subject. */
  readonly #askedFor = new Map<string, boolean>();
  /** Telemetry since the last fact, by what it tells of. */
  readonly #telemetry = new Map<string, KeptLine>();
  /** What is read goes into one, time and again: new ones for a whole log keep the garbage collector busy. */
  #buffer: Buffer | undefined;
  #lastType = '';
  #runId: string | undefined;
  #offset = 0;
  #sequence = 0;

  constructor(file: string, read: ReadBytes, { fromSequence = 1, isBrief = false, stageKeys }: ScanOptions = {}) {
    this.#file = file;
    this.#read = read;
    this.#fromSequence = fromSequence;
    this.#isBrief = isBrief;
    this.#stageKeys = stageKeys;
  }

  /** Bytes of the whole events read so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Sequence of the last event read so far. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Type of the last event that was read from the file; empty where there was none. */
  get lastType(): string {
    return this.#lastType;
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
    if (chunk === null) return orNull(this.#lastTelemetry());
    const events: Event[] = [];
    // Zeros are what the last write left half done, or damage: each line there is looked at.
    const passesOver = (this.#isBrief || this.#stageKeys !== undefined) && !chunk.includes(0);
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const line = chunk.subarray(start, end);
      const subject = passesOver ? telemetrySubject(line) : undefined;
      if (subject === undefined || (!this.#isBrief && this.#isAskedFor(subject))) {
        const event = await this.#line(line);
        events.push(...this.#lastTelemetry());
        if (event === null) return orNull(events);
        if (event !== 'skipped') events.push(event);
      } else if (this.#isAskedFor(subject)) {
        this.#telemetry.set(subject, { bytes: line, sequence: this.#sequence + 1 });
      }
      this.#sequence += 1;
      this.#offset += end + 1 - start;
      start = end + 1;
    }
    this.#lastType = typeOfLast(chunk);
    for (const [subject, line] of this.#telemetry) {
      this.#telemetry.set(subject, { ...line, bytes: Buffer.from(line.bytes) });
    }
    return events;
  }

  /** Bytes from the offset that end in a line end, until the next call; null where there is no line end any more. */
  async #wholeLines(): Promise<Buffer | null> {
    this.#buffer ??= Buffer.allocUnsafe(chunkBytes);
    const parts: Buffer[] = [];
    let length = 0;
    for (let buffer = this.#buffer; ; buffer = Buffer.allocUnsafe(chunkBytes)) {
      const count = await this.#read(buffer, this.#offset + length);
      if (count === 0) {
        // There may be a scanner for each run of a home.
        this.#buffer = undefined;
        return null;
      }
      const part = buffer.subarray(0, count);
      const lastEnd = part.lastIndexOf(newline);
      const lines = part.subarray(0, lastEnd + 1);
      if (lastEnd !== -1) return parts.length === 0 ? lines : Buffer.concat([...parts, lines]);
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
      throw this.#damaged(event, expected);
    }
    this.#check(event, expected);
    if (event.type === 'stage.started' && this.#stageKeys?.includes(event.data.key) === true) {
      this.#stages.add(event.stage);
      this.#askedFor.clear();
    }
    return expected < this.#fromSequence ? 'skipped' : event;
  }

  #isAskedFor(subject: string): boolean {
    if (this.#stageKeys === undefined) return true;
    const known = this.#askedFor.get(subject) ?? this.#stages.has(stageOfSubject(subject));
    this.#askedFor.set(subject, known);
    return known;
  }

  /** What of the telemetry since the last fact is told. */
  #lastTelemetry(): readonly Event[] {
    if (this.#telemetry.size === 0) return [];
    const lines = [...this.#telemetry.values()].toSorted((one, other) => one.sequence - other.sequence);
    this.#telemetry.clear();
    return lines.map(({ bytes, sequence }) => {
      const event = parseEventLine(bytes.toString('utf8'));
      if (typeof event === 'string') throw this.#damaged(event, sequence);
      this.#check(event, sequence);
      return event;
    });
  }

  #check(event: Event, expected: number): void {
    const { runId, sequence } = event;
    if (sequence !== expected) throw this.#damaged(`has the sequence ${sequence}, not ${expected}`, expected);
    this.#runId ??= runId;
    if (runId !== this.#runId) throw this.#damaged(`belongs to the run ${runId}, not ${this.#runId}`, expected);
    if (event.type === 'run.created' && event.data.format > logFormat) throw this.#newer(event.data.format);
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

  #damaged(reason: string, line: number): UserError {
    return new UserError('log_damaged', `Line ${line} of ${this.#file} ${reason}.`, {
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

function orNull(events: readonly Event[]): readonly Event[] | null {
  return events.length === 0 ? null : events;
}

function beginsWrite(line: string): boolean {
  return !line.startsWith(sameWriteMark) && typeof parseEventLine(line) !== 'string';
}
