import { basename, dirname, resolve } from 'node:path';
import { deferred } from '../deferred.js';
import { UserError } from '../errors.js';
import { type Event, telemetryTypes } from './catalogue.js';
import { sameWriteMark } from './event-line.js';
import { type LogFile, type LogFileSystem, nodeLogFileSystem } from './log-file-system.js';
import { LogScanner } from './log-scanner.js';

export type { LogFile, LogFileSystem } from './log-file-system.js';

/** Telemetry alone is not worth a sync more often than this. Facts never wait. */
const telemetryMilliseconds = 10;
/** A write larger than this is made in several, so that what a power cut may tear stays small. */
const maxWriteBytes = 1024 * 1024;
const defaultMaxPendingBytes = 256 * 1024 * 1024;

interface RunLogOptions {
  readonly fileSystem?: LogFileSystem;
  /**
   * How much may wait for the disk before the log gives up: what came is never thrown away in silence.
   * @default 256 MiB
   */
  readonly maxPendingBytes?: number;
  /** Takes what the log holds, in order, as it is read: not all of it where `open` throws. */
  onRead?(events: readonly Event[]): void;
}

interface OpenedRunLog {
  readonly log: RunLog;
  /** Sequence of the last event in the file, 0 where there is none. */
  readonly lastSequence: number;
  /** Bytes of a last write that was not finished, now cut off. None of them was acknowledged. */
  readonly droppedBytes: number;
}

/** An event, and the line that it becomes. */
export interface LogEntry {
  readonly event: Event;
  readonly line: string;
}

/** Lines that go to disk in the same write. */
interface Pending {
  readonly bytes: Buffer;
  /** With the last of what was appended at once. */
  readonly settle?: { resolve(): void; reject(error: Error): void };
}

/**
 * The log of a run, `events.jsonl`: one event a line, appended durably. While one write and its sync are under way, what
 * comes gathers for the next (group commit). A write or sync that fails, or a write that falls short, makes it fail for
 * ever: nothing later is acknowledged, and what was not acknowledged is cut off as far as the disk still lets it.
 *
 * One writer a file: hold the run's lock.
 */
export class RunLog {
  /** Resolves with the first failure, a UserError; never where all goes well. */
  readonly failure: Promise<Error>;
  readonly #path: string;
  readonly #file: LogFile;
  readonly #maxPendingBytes: number;
  readonly #announceFailure: (error: Error) => void;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  /** Whether what is pending holds a fact, or has grown large: telemetry alone may wait. */
  #isUrgent = false;
  #position: number;
  #sequence: number;
  #failed: Error | undefined;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastSyncAt = 0;
  #closing: Promise<void> | undefined;

  private constructor(path: string, file: LogFile, scanned: LogScanner, maxPendingBytes: number) {
    this.#path = path;
    this.#file = file;
    this.#position = scanned.offset;
    this.#sequence = scanned.sequence;
    this.#maxPendingBytes = maxPendingBytes;
    const { promise, resolve } = deferred<Error>();
    this.failure = promise;
    this.#announceFailure = resolve;
  }

  /**
   * Opens a log, makes it where it is missing, cuts off what a last write left half done, and makes durable what is there.
   * @throws UserError `log_damaged`, `newer_format`, `log_failed`, `no_disk_space`
   */
  static async open(file: string, options: RunLogOptions = {}): Promise<OpenedRunLog> {
    const { fileSystem = nodeLogFileSystem, maxPendingBytes = defaultMaxPendingBytes, onRead } = options;
    const path = resolve(file);
    const attempt = async <T>(doing: string, action: () => Promise<T>): Promise<T> => {
      try {
        return await action();
      } catch (error) {
        throw logFailure(path, doing, error);
      }
    };
    const opened = await attempt('open', () => fileSystem.open(path));
    try {
      const read = (buffer: Uint8Array, position: number) => attempt('read', () => opened.read(buffer, position));
      const scanner = new LogScanner(path, read);
      for (let events = await scanner.advance(); events !== null; events = await scanner.advance()) onRead?.(events);
      const droppedBytes = await trailingBytes(read, scanner.offset);
      if (droppedBytes > 0) await attempt('truncate', () => opened.truncate(scanner.offset));
      // A core that was killed may have written what it never synced: from here on others build on it.
      await attempt('sync', () => opened.sync());
      await attempt('sync the folder of', () => fileSystem.syncFolder(dirname(path)));
      await attempt('sync the folder of', () => fileSystem.syncFolder(dirname(dirname(path))));
      return { log: new RunLog(path, opened, scanner, maxPendingBytes), lastSequence: scanner.sequence, droppedBytes };
    } catch (error) {
      await opened.close().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Resolves when all are durable, in the order of the calls; rejects with the log's failure.
   * @throws Error at once, and takes nothing, where a sequence is not the next one
   */
  append(entries: readonly LogEntry[]): Promise<void> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    if (this.#closing !== undefined) return Promise.reject(new Error(`The log ${this.#path} is closed.`));
    for (const [index, { event }] of entries.entries()) {
      const expected = this.#sequence + index + 1;
      if (event.sequence !== expected)
        throw new Error(`The log expects the sequence ${expected}, not ${event.sequence}.`);
    }
    if (entries.length === 0) return Promise.resolve();
    const { promise, resolve, reject } = deferred<void>();
    const parts = partsOf(bytesOf(entries));
    for (const [index, bytes] of parts.entries()) {
      this.#pending.push(index < parts.length - 1 ? { bytes } : { bytes, settle: { resolve, reject } });
      this.#pendingBytes += bytes.length;
    }
    const isUrgent = entries.some(({ event }) => !telemetryTypes.has(event.type));
    this.#sequence += entries.length;
    if (this.#pendingBytes > this.#maxPendingBytes) this.#fail(tooSlow(this.#path, this.#pendingBytes));
    else this.#schedule(isUrgent);
    return promise;
  }

  /** Writes what is still pending and closes the file. May be called again; never throws, `failure` says it. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#schedule(true);
    await this.#writing;
    await this.#file.close().catch((error) => this.#fail(logFailure(this.#path, 'close', error)));
  }

  /** Telemetry waits a little for company; a fact takes along whatever waits. */
  #schedule(isUrgent: boolean): void {
    this.#isUrgent ||= isUrgent || this.#pendingBytes > maxWriteBytes;
    if (this.#writing !== undefined || this.#pending.length === 0) return;
    const wait = this.#isUrgent ? 0 : this.#lastSyncAt + telemetryMilliseconds - performance.now();
    if (wait > 0) {
      this.#timer ??= setTimeout(() => this.#start(), wait);
      return;
    }
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // In a microtask, so that what is emitted in one go is written in one go.
    this.#writing = Promise.resolve().then(() => this.#writeAll());
  }

  async #writeAll(): Promise<void> {
    for (let isDue = true; isDue && this.#pending.length > 0; isDue = this.#isUrgent) {
      await this.#writeBatch(this.#takeBatch());
    }
    // Not in a callback of the promise: what is appended before that ran would wait for ever.
    this.#writing = undefined;
    this.#schedule(false);
  }

  async #writeBatch(batch: readonly Pending[]): Promise<void> {
    try {
      await this.#write(Buffer.concat(batch.flatMap(({ bytes }, index) => (index === 0 ? [bytes] : [mark, bytes]))));
    } catch (error) {
      this.#pending = [...batch, ...this.#pending];
      this.#fail(error as Error);
      await this.#cutBack();
      return;
    }
    this.#lastSyncAt = performance.now();
    // A failure meanwhile, such as too much that waits, does not take back what is durable.
    for (const { settle } of batch) settle?.resolve();
  }

  #takeBatch(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#pending) {
      if (count > 0 && bytes + pending.bytes.length > maxWriteBytes) break;
      bytes += pending.bytes.length;
      count += 1;
    }
    this.#pendingBytes -= bytes;
    const batch = this.#pending.splice(0, count);
    this.#isUrgent &&= this.#pending.length > 0;
    return batch;
  }

  async #write(bytes: Buffer): Promise<void> {
    const written = await this.#attempt('write', () => this.#file.write(bytes, this.#position));
    if (written !== bytes.length) throw await this.#fellShort(bytes, written);
    await this.#attempt('sync', () => this.#file.sync());
    this.#position += bytes.length;
  }

  /** A disk that is nearly full takes a part without an error: only the rest tells why. */
  async #fellShort(bytes: Buffer, written: number): Promise<Error> {
    const what = `write (${written} of ${bytes.length} bytes)`;
    try {
      await this.#file.write(bytes.subarray(written), this.#position + written);
    } catch (error) {
      return logFailure(this.#path, what, error);
    }
    return logFailure(this.#path, what, new Error('the disk took only a part of it'));
  }

  async #attempt<T>(doing: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw logFailure(this.#path, doing, error);
    }
  }

  #fail(error: Error): void {
    if (this.#failed === undefined) {
      this.#failed = error;
      this.#announceFailure(error);
    }
    clearTimeout(this.#timer);
    const refused = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#isUrgent = false;
    for (const { settle } of refused) settle?.reject(this.#failed);
  }

  /**
   * After a failed sync the kernel may hold the bytes for clean although they never reached the disk: the next reader
   * would take them for durable. So they go, as far as the disk lets them.
   */
  async #cutBack(): Promise<void> {
    try {
      await this.#file.truncate(this.#position);
      await this.#file.sync();
    } catch {
      // The log has failed already, and has said why; whoever opens it next cuts off what is half done.
    }
  }
}

const mark = Buffer.from(sameWriteMark);
const newline = 0x0a;

/** Their lines, all but the first with the mark. Written one by one: joined as text they would be copied twice. */
function bytesOf(entries: readonly LogEntry[]): Buffer {
  let size = (entries.length - 1) * mark.length;
  for (const { line } of entries) size += Buffer.byteLength(line) + 1;
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { line } of entries) {
    if (at > 0) at += mark.copy(bytes, at);
    at += bytes.write(line, at);
    at = bytes.writeUInt8(newline, at);
  }
  return bytes;
}

/** Lines in parts of a write each: as many as one takes, or a longer one alone. @param lines all but the first with the mark */
function partsOf(lines: Buffer): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = endOfPart(lines, start);
    parts.push(lines.subarray(start, end));
    // The line after it is the first of its write.
    start = end + mark.length;
  }
  return parts;
}

function endOfPart(lines: Buffer, start: number): number {
  if (lines.length - start <= maxWriteBytes) return lines.length;
  const last = lines.lastIndexOf(newline, start + maxWriteBytes - 1);
  return 1 + (last < start ? lines.indexOf(newline, start) : last);
}

async function trailingBytes(read: (buffer: Uint8Array, position: number) => Promise<number>, from: number) {
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let bytes = 0;
  for (;;) {
    const count = await read(buffer, from + bytes);
    if (count === 0) return bytes;
    bytes += count;
  }
}

function logFailure(path: string, doing: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new UserError('no_disk_space', `There is no space left in ${dirname(path)} for the run's log.`, {
      kind: 'environment',
      hint: `Free some space. Everything up to here is kept; ${goOn(path)}`,
      cause: error,
    });
  }
  return new UserError('log_failed', `Cannot ${doing} the run's log ${path}: ${message}.`, {
    kind: 'environment',
    hint:
      code === 'ENOENT'
        ? 'Start the recipe anew: what the stages made that were finished is still in the cache.'
        : `See to its disk, then ${goOn(path)}`,
    cause: error,
  });
}

function tooSlow(path: string, bytes: number): UserError {
  return new UserError(
    'log_failed',
    `The disk is too slow for the run's log ${path}: ${Math.round(bytes / 1024 / 1024)} MiB of events wait for it.`,
    { kind: 'environment', hint: `Put the home on a faster disk, then ${goOn(path)}` },
  );
}

function goOn(path: string): string {
  return `go on with: simmer resume ${basename(dirname(path))}`;
}
