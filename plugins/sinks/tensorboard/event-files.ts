import { type FileHandle, mkdir, open, readdir, readFile, truncate } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { decodeSummary, encodeFileVersion, encodeSummary, type Summary } from './event-messages.js';
import { frameRecord, intactRecords } from './records.js';

/** Bytes that may wait for the disk before whoever adds more has to wait, too. */
const waitingBytes = 1_048_576;

/**
 * The event files of one of TensorBoard's runs: a folder. Each step of a tag is there once, whatever former processes wrote:
 * what they left is read when the folder is opened, and what is new goes into a new file, which is made with its first
 * record. What a former process tore when it was killed is cut off.
 *
 * Nothing is synced: the log of the run is, and whoever is given it again after a power cut adds what was lost.
 */
export class EventFiles implements AsyncDisposable {
  readonly #folder: string;
  /** First tag of a summary to the steps at which it is there. */
  readonly #written: Map<string, Set<number>>;
  /** The next file's name sorts after all that are there: TensorBoard reads them in this order. */
  readonly #nextSeconds: number;
  #file: FileHandle | undefined;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  private constructor(folder: string, written: Map<string, Set<number>>, nextSeconds: number) {
    this.#folder = folder;
    this.#written = written;
    this.#nextSeconds = nextSeconds;
  }

  /** @param folder made with the first summary */
  static async open(folder: string): Promise<EventFiles> {
    const written = new Map<string, Set<number>>();
    let nextSeconds = 0;
    for (const name of await eventFilesIn(folder)) {
      nextSeconds = Math.max(nextSeconds, Number(/tfevents\.(\d+)/.exec(name)?.[1] ?? 0) + 1);
      const path = join(folder, name);
      const content = await readFile(path);
      const { records, bytes } = intactRecords(content);
      if (bytes < content.length) await truncate(path, bytes);
      for (const record of records) {
        const summary = decodeSummary(record);
        if (summary !== undefined) remember(written, summary);
      }
    }
    return new EventFiles(folder, written, nextSeconds);
  }

  /**
   * Adds what is not there yet; it is written soon. Summaries that begin with the same tag are taken for the same at the same
   * step. Waits only where much waits to be written. @throws what an earlier write failed with
   */
  async add(summary: Summary): Promise<void> {
    this.#throwFailure();
    if (!remember(this.#written, summary)) return;
    const record = frameRecord(encodeSummary(summary));
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    this.#writing ??= this.#write(summary.time);
    if (this.#waitingBytes > waitingBytes) await this.flushed();
  }

  /** All that was added is with the operating system. @throws what writing it failed with, once */
  async flushed(): Promise<void> {
    await this.#writing;
    this.#throwFailure();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#throwFailure();
  }

  async #write(time: number): Promise<void> {
    try {
      this.#file ??= await this.#create(time);
      while (this.#waiting.length > 0) {
        const records = Buffer.concat(this.#waiting);
        this.#waiting = [];
        this.#waitingBytes = 0;
        await this.#file.appendFile(records);
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#writing = undefined;
  }

  async #create(time: number): Promise<FileHandle> {
    await mkdir(this.#folder, { recursive: true });
    const seconds = Math.max(this.#nextSeconds, Math.floor(Date.now() / 1000));
    const name = `events.out.tfevents.${String(seconds).padStart(10, '0')}.${hostname()}.${process.pid}.0`;
    const file = await open(join(this.#folder, name), 'ax');
    await file.appendFile(frameRecord(encodeFileVersion(time)));
    return file;
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }
}

/** In the order in which TensorBoard reads them; it takes every file for one that has "tfevents" in its name. */
async function eventFilesIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isFile() && entry.name.includes('tfevents') ? [entry.name] : [])).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** @returns whether it was not there before */
function remember(written: Map<string, Set<number>>, { step, values }: Summary): boolean {
  const tag = values[0]?.tag ?? '';
  const steps = written.get(tag) ?? new Set();
  written.set(tag, steps);
  if (steps.has(step)) return false;
  steps.add(step);
  return true;
}
