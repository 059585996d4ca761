import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Log, parsedLine, wholeLines } from 'simmerkit';
import type { KeptSample } from './generation-rows.js';

/** Samples that may be lost to a power cut: few enough to cost seconds, enough that syncing costs nothing. */
const syncEvery = 64;

interface Place {
  readonly offset: number;
  readonly length: number;
}

/**
 * The samples of a stage, kept as they come, so that a later attempt asks only for what is missing. A line of
 * `samples.jsonl` each; a last one that is torn is dropped, and one that is damaged is passed over. Only their places are in
 * memory: the tokens of a long sweep are not small.
 */
export class SampleJournal implements AsyncDisposable {
  private readonly places = new Map<string, Place>();
  private end = 0;
  private unsynced = 0;

  private constructor(private readonly file: FileHandle) {}

  /** Opens the journal of a folder, or begins one. @param log is told of what cannot be read */
  static async open(folder: string, log?: Log): Promise<SampleJournal> {
    const path = journalFile(folder);
    const file = await open(path, 'a+', 0o600);
    const journal = new SampleJournal(file);
    try {
      let damaged = 0;
      for await (const line of wholeLines(file)) {
        const sample = sampleIn(line);
        if (sample === undefined) damaged += 1;
        else journal.note(sample, { offset: journal.end, length: line.length });
        journal.end += line.length;
      }
      await file.truncate(journal.end);
      if (damaged > 0)
        log?.warning(`${path} is damaged: ${damaged} of its samples cannot be read, and are asked for again.`);
      return journal;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** How many samples the journal of a folder has; 0 where it has none. */
  static async count(folder: string): Promise<number> {
    await using file = await open(journalFile(folder), 'r').catch(unlessMissing);
    let count = 0;
    if (file !== undefined) for await (const line of wholeLines(file)) if (sampleIn(line) !== undefined) count++;
    return count;
  }

  has(promptId: string, policyId: string, sampleIndex: number): boolean {
    return this.places.has(keyOf(promptId, policyId, sampleIndex));
  }

  get size(): number {
    return this.places.size;
  }

  /** Keeps a sample; one that is there already stays as it is. Calls must not overlap. */
  async add(sample: KeptSample): Promise<void> {
    if (this.has(sample.promptId, sample.policyId, sample.sampleIndex)) return;
    const line = Buffer.from(`${JSON.stringify({ ...sample, seed: String(sample.seed) })}\n`);
    await this.file.appendFile(line);
    this.note(sample, { offset: this.end, length: line.length });
    this.end += line.length;
    if (++this.unsynced >= syncEvery) await this.sync();
  }

  /**
   * Keeps samples of the journals in the folders beside its own, too, where they are missing here.
   * @returns how many it took
   */
  async takeFromBeside(folder: string, isWanted: (sample: KeptSample) => boolean): Promise<number> {
    const before = this.size;
    for (const name of (await readdir(dirname(folder))).sort()) {
      if (name === basename(folder)) continue;
      await using file = await open(journalFile(join(dirname(folder), name)), 'r').catch(unlessMissing);
      if (file === undefined) continue;
      for await (const line of wholeLines(file)) {
        const sample = sampleIn(line);
        if (sample !== undefined && isWanted(sample)) await this.add(sample);
      }
    }
    return this.size - before;
  }

  async read(promptId: string, policyId: string, sampleIndex: number): Promise<KeptSample> {
    const place = this.places.get(keyOf(promptId, policyId, sampleIndex));
    if (place === undefined) return raise(`no sample ${sampleIndex} of ${promptId} under ${policyId}`);
    const bytes = Buffer.alloc(place.length);
    await this.file.read(bytes, 0, place.length, place.offset);
    return sampleIn(bytes) ?? raise(`the sample at ${place.offset} of the journal changed while it was open`);
  }

  async sync(): Promise<void> {
    this.unsynced = 0;
    await this.file.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.sync();
    } finally {
      await this.file.close();
    }
  }

  private note(sample: KeptSample, place: Place): void {
    this.places.set(keyOf(sample.promptId, sample.policyId, sample.sampleIndex), place);
  }
}

function keyOf(promptId: string, policyId: string, sampleIndex: number): string {
  return JSON.stringify([promptId, policyId, sampleIndex]);
}

function journalFile(folder: string): string {
  return join(folder, 'samples.jsonl');
}

/** What is there and cannot be read would be paid for again. */
function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}

/** Undefined for a line that is damaged. */
function sampleIn(line: Buffer): KeptSample | undefined {
  const parsed = parsedLine<Omit<KeptSample, 'seed'> & { readonly seed: string }>(line);
  return parsed === undefined ? undefined : { ...parsed, seed: BigInt(parsed.seed) };
}

function raise(message: string): never {
  throw new Error(message);
}
