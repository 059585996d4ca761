import type { FileHandle } from 'node:fs/promises';
import { LogScanner } from '../events/log-scanner.js';
import { FileChanges, isRunEnd, makeDurable, openLog, reader } from '../events/replay.js';
import { type EventLine, encodeWatchResponse, eventLines, withoutTelemetry } from './event-messages.js';

/** Small writes of a live run are put together in the index up to this, so that it grows by the byte, not by the event. */
const blockBytes = 128 * 1024;
/** Messages that are kept for others who will want the same: those who watch live are all at the end of the log. */
const keptMessages = 16;

/** Whole lines of the file. */
interface Block {
  readonly first: number;
  readonly offset: number;
  bytes: number;
}

/** Where a reader is: the next event, and where its line begins. */
export interface LogPosition {
  readonly sequence: number;
  readonly offset: number;
}

/** Events on the wire, and where to go on. */
export interface LogPart {
  /** A `WatchRunResponse`, encoded. */
  readonly message: Buffer;
  readonly next: LogPosition;
}

/**
 * The log of one run for all who watch it: one process follows the file, however many watch. It keeps where lines are
 * (some bytes for every 128 KiB), not what they say; each reader reads from the file at its own pace.
 */
export class LogTail implements AsyncDisposable {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #stopping = new AbortController();
  readonly #messages = new Map<string, Promise<LogPart>>();
  readonly #following: Promise<void>;
  #blocks: Block[] = [];
  #end: LogPosition = { sequence: 1, offset: 0 };
  #lastType = '';
  #failure: unknown;
  #isAtEnd = false;
  #wake: (() => void)[] = [];

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
    this.#following = this.#follow().catch((error: unknown) => {
      this.#failure = error;
      this.#tell();
    });
  }

  /** @throws UserError `log_missing` */
  static async open(file: string): Promise<LogTail> {
    return new LogTail(file, await openLog(file));
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
      if (this.#isAtEnd && isRunEnd(this.#lastType)) return undefined;
      if (!(await this.#more(signal))) return undefined;
    }
    const block = this.#blockAt((each) => each.first <= sequence);
    const bytes = await this.#read(block.offset, block.bytes);
    let at = 0;
    for (let passed = block.first; passed < sequence; passed++) at = bytes.indexOf(0x0a, at) + 1;
    return { sequence, offset: block.offset + at };
  }

  /**
   * The events from a position to the end of its block, as soon as there are any.
   * @param lagLimit a reader further behind the end than this gets no telemetry, but gaps; absent: it gets everything
   * @returns undefined when the run has ended and all was read, or the signal is aborted
   */
  async next(from: LogPosition, signal: AbortSignal, lagLimit?: number): Promise<LogPart | undefined> {
    while (from.offset >= this.#end.offset) {
      if (this.#isAtEnd && isRunEnd(this.#lastType)) return undefined;
      if (!(await this.#more(signal))) return undefined;
    }
    const block = this.#blockAt((each) => each.offset <= from.offset);
    const end = block.offset + block.bytes;
    const isThinned = lagLimit !== undefined && this.lastSequence - from.sequence > lagLimit;
    return this.#message(from, end, isThinned);
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
    // Lines are counted, not parsed: what they say is for those who read them.
    let scanner = new LogScanner(this.#file, reader(this.#handle), Number.MAX_SAFE_INTEGER);
    while (!signal.aborted) {
      changes.clear();
      const before = scanner.offset;
      if ((await scanner.advance()) !== null) {
        if (scanner.offset <= this.#end.offset) continue;
        await makeDurable(this.#file, this.#handle);
        this.#lastType = eventLines(await this.#lastLine(before, scanner.offset), 0).at(-1)?.type ?? '';
        this.#add(scanner.offset, scanner.sequence + 1);
        continue;
      }
      // Bytes that were never durable may be cut off and written anew; those that were told are not touched.
      if ((await this.#handle.stat()).size < scanner.offset) {
        scanner = new LogScanner(this.#file, reader(this.#handle), Number.MAX_SAFE_INTEGER);
        continue;
      }
      this.#isAtEnd = true;
      this.#tell();
      await changes.next();
    }
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

  async #lastLine(from: number, to: number): Promise<Buffer> {
    const bytes = await this.#read(from, to - from);
    return bytes.subarray(bytes.lastIndexOf(0x0a, bytes.length - 2) + 1);
  }
}
