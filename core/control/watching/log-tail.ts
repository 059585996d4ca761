import type { FileHandle } from 'node:fs/promises';
import { typeOfLast } from '../../events/event-line.js';
import { LogScanner } from '../../events/log-scanner.js';
import { FileChanges, isRunEnd, makeDurable, openLog, reader } from '../../events/replay.js';
import type { DurableWrite, DurableWrites } from './durable-writes.js';
import { type EventLine, encodeWatchResponse, eventLines, withoutTelemetry } from './event-messages.js';

const newline = 0x0a;
/** Small writes of a live run are put together in the index up to this, so that it grows by the byte, not by the event. */
const blockBytes = 128 * 1024;
/** A large write is cut into blocks of this at most, unless a line is longer: a block is a message. */
const longestBlockBytes = 256 * 1024;
/** How much of what this process wrote is kept for the readers at the end of the log. */
const keptWriteBytes = 2 * 1024 * 1024;
/** Messages that are kept for others who will want the same: those who watch live are all at the end of the log. */
const keptMessages = 16;

/** Bytes that do not become whole lines in this time were left by a writer that is gone. */
const longestLagMilliseconds = 2_000;

/** Whole lines of the file. */
interface Block {
  readonly first: number;
  readonly offset: number;
  bytes: number;
}

/** Where a reader is: the next event, and where its line begins. */
interface LogPosition {
  readonly sequence: number;
  readonly offset: number;
}

/** Events on the wire, and where to go on. */
interface LogPart {
  /** A `WatchRunResponse`, encoded. */
  readonly message: Buffer;
  readonly next: LogPosition;
}

/**
 * The log of one run for all who watch it: one process follows the file, however many watch. It keeps where lines are
 * (some bytes for every 128 KiB), not what they say; each reader reads from the file at its own pace. While
 * this process writes the log, what becomes durable is taken as it comes; of another process's, the file is read.
 */
export class LogTail implements AsyncDisposable {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #stopping = new AbortController();
  readonly #messages = new Map<string, Promise<LogPart>>();
  readonly #writes: DurableWrites;
  readonly #following: Promise<void>;
  #scanner: LogScanner;
  #isReading = true;
  /** Something became durable that was not taken: the file has it. */
  #isBehind = false;
  #recent: { readonly offset: number; readonly bytes: Buffer }[] = [];
  #blocks: Block[] = [];
  #end: LogPosition = { sequence: 1, offset: 0 };
  #lastType = '';
  #failure: unknown;
  #isAtEnd = false;
  #wake: (() => void)[] = [];

  private constructor(file: string, handle: FileHandle, writes: DurableWrites) {
    this.#file = file;
    this.#handle = handle;
    this.#writes = writes;
    this.#scanner = this.#newScanner();
    this.#following = this.#follow().catch((error: unknown) => {
      this.#failure = error;
      this.#tell();
    });
  }

  /** @throws UserError `log_missing` */
  static async open(file: string, writes: DurableWrites): Promise<LogTail> {
    return new LogTail(file, await openLog(file), writes);
  }

  /** False once all that the file holds was read and its writer, where that is this process, tells the rest. */
  get isReadingFile(): boolean {
    return this.#isReading;
  }

  /** Whether the last event of the file ends the run. */
  get hasEnd(): boolean {
    return this.#isAtEnd && isRunEnd(this.#lastType);
  }

  /** Sequence of the last event that is known to be durable. */
  get lastSequence(): number {
    return this.#end.sequence - 1;
  }

  /**
   * Where the line of an event begins; waits for one that is still to come.
   * @returns undefined where the run ends before it, or the signal is aborted @throws what is wrong with the log
   */
  async seek(sequence: number, signal: AbortSignal): Promise<LogPosition | undefined> {
    while (this.#end.sequence <= sequence) {
      if (this.#isAtEnd && this.#end.sequence === sequence) return this.#end;
      if (this.hasEnd) return undefined;
      if (!(await this.#more(signal))) return undefined;
    }
    const block = this.#blockAt((each) => each.first <= sequence);
    const bytes = await this.#read(block.offset, block.bytes);
    let at = 0;
    for (let passed = block.first; passed < sequence; passed++) at = bytes.indexOf(newline, at) + 1;
    return { sequence, offset: block.offset + at };
  }

  /**
   * The events from a position to the end of its block, as soon as there are any.
   * @param lagLimit a reader further behind the end than this gets no telemetry, but gaps; absent: it gets everything
   * @returns undefined when the run has ended and all was read, or the signal is aborted
   */
  async next(from: LogPosition, signal: AbortSignal, lagLimit?: number): Promise<LogPart | undefined> {
    if (signal.aborted) return undefined;
    while (from.offset >= this.#end.offset) {
      if (this.hasEnd) return undefined;
      if (!(await this.#more(signal))) return undefined;
    }
    const block = this.#blockAt((each) => each.offset <= from.offset);
    const end = block.offset + block.bytes;
    const isThinned = lagLimit !== undefined && this.lastSequence - from.sequence > lagLimit;
    return this.#message(from, end, isThinned);
  }

  /** Resolves when there are events after a position, or nobody is to wait for them any more. @throws as `next` */
  async grown(from: LogPosition, signal: AbortSignal): Promise<void> {
    while (from.offset >= this.#end.offset && (await this.#more(signal)));
  }

  /** Whether the file has events after a position at the end of what was told; waits until they can be. @throws as `next` */
  async hasMore(from: LogPosition, signal: AbortSignal): Promise<boolean> {
    const { size } = await this.#handle.stat();
    if (size > from.offset) {
      // Not `AbortSignal.timeout`, which Node may collect as garbage while `AbortSignal.any` waits for it.
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), longestLagMilliseconds);
      await this.grown(from, AbortSignal.any([signal, late.signal])).finally(() => clearTimeout(timer));
    }
    return this.#end.offset > from.offset;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#tell();
    await this.#following;
    await this.#handle.close();
  }

  #message(from: LogPosition, end: number, isThinned: boolean): Promise<LogPart> {
    const key = `${from.offset}-${end}-${isThinned}`;
    const kept = this.#messages.get(key);
    if (kept !== undefined) return kept;
    const message = this.#read(from.offset, end - from.offset).then((bytes): LogPart => {
      const lines: readonly EventLine[] = eventLines(bytes, from.sequence);
      return {
        message: encodeWatchResponse(isThinned ? withoutTelemetry(lines) : lines),
        next: { sequence: from.sequence + lines.length, offset: end },
      };
    });
    this.#messages.set(key, message);
    if (this.#messages.size > keptMessages) this.#messages.delete(this.#messages.keys().next().value!);
    return message;
  }

  async #read(offset: number, bytes: number): Promise<Buffer> {
    for (const recent of this.#recent) {
      const from = offset - recent.offset;
      if (from >= 0 && from + bytes <= recent.bytes.length) return recent.bytes.subarray(from, from + bytes);
    }
    const buffer = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await this.#handle.read(buffer, 0, bytes, offset);
    if (bytesRead < bytes) throw new Error(`The log ${this.#file} has become shorter than what was durable of it.`);
    return buffer;
  }

  #blockAt(isBefore: (block: Block) => boolean): Block {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.#blocks[middle]!)) low = middle + 1;
      else high = middle;
    }
    return this.#blocks[low - 1]!;
  }

  /** Waits until the file has more, or its end is reached. @returns false when the reader should stop */
  async #more(signal: AbortSignal): Promise<boolean> {
    if (this.#failure !== undefined) throw this.#failure;
    if (signal.aborted || this.#stopping.signal.aborted) return false;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      signal.addEventListener('abort', wake);
      this.#wake.push(wake);
    });
    return !signal.aborted && !this.#stopping.signal.aborted;
  }

  #tell(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    using changes = new FileChanges(this.#file, signal);
    using _ = this.#writes.follow(this.#file, (write) => {
      this.#isBehind ||= !this.#take(write);
    });
    while (!signal.aborted) {
      changes.clear();
      this.#isReading = true;
      this.#isBehind = false;
      if ((await this.#scanner.advance()) !== null) {
        if (this.#scanner.offset <= this.#end.offset) continue;
        await makeDurable(this.#file, this.#handle);
        this.#lastType = this.#scanner.lastType;
        this.#add(this.#scanner.offset, this.#scanner.sequence + 1);
        continue;
      }
      // Bytes that were never durable may be cut off and written anew; those that were told are not touched.
      if ((await this.#handle.stat()).size < this.#scanner.offset) {
        this.#scanner = this.#newScanner();
        continue;
      }
      if (this.#isBehind) continue;
      this.#isReading = false;
      this.#isAtEnd = true;
      this.#tell();
      do {
        await changes.next();
        changes.clear();
      } while (!signal.aborted && this.#writes.hasWriter(this.#file) && !this.#isBehind);
    }
  }

  /** Lines are counted, not parsed: what they say is for those who read them. */
  #newScanner(): LogScanner {
    return new LogScanner(this.#file, reader(this.#file, this.#handle), { fromSequence: Number.MAX_SAFE_INTEGER });
  }

  /** @returns false where the file must be read instead */
  #take({ bytes, position }: DurableWrite): boolean {
    const known = this.#end.offset - position;
    if (this.#isReading || known < 0) return false;
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(known);
    if (rest.length > 0 && rest.at(-1) !== newline) return false;
    while (rest.length > 0) {
      const block = rest.subarray(0, blockLength(rest));
      const lines = countLines(block);
      this.#keep(block);
      this.#lastType = typeOfLast(block);
      this.#scanner.pass(block.length, lines);
      this.#add(this.#end.offset + block.length, this.#end.sequence + lines);
      rest = rest.subarray(block.length);
    }
    this.#isAtEnd = true;
    return true;
  }

  #keep(bytes: Buffer): void {
    this.#recent.push({ offset: this.#end.offset, bytes });
    let kept = 0;
    const isKept = ({ bytes }: { readonly bytes: Buffer }) => {
      kept += bytes.length;
      return kept <= keptWriteBytes;
    };
    this.#recent = this.#recent.toReversed().filter(isKept).toReversed();
  }

  #add(offset: number, sequence: number): void {
    const last = this.#blocks.at(-1);
    const bytes = offset - this.#end.offset;
    if (last !== undefined && last.bytes + bytes <= blockBytes) last.bytes += bytes;
    else this.#blocks.push({ first: this.#end.sequence, offset: this.#end.offset, bytes });
    this.#end = { sequence, offset };
    this.#isAtEnd = false;
    this.#tell();
  }
}

/** Of the first block of some whole lines. */
function blockLength(lines: Buffer): number {
  if (lines.length <= longestBlockBytes) return lines.length;
  const end = lines.lastIndexOf(newline, longestBlockBytes - 1);
  return 1 + (end === -1 ? lines.indexOf(newline) : end);
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, end + 1)) lines += 1;
  return lines;
}
