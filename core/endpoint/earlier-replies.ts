import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { unlessMissing } from '../files/unless-missing.js';
import type { Log } from '../plugin/log.js';
import { type Claim, claimQuestion, releasesIn } from './claimed-questions.js';
import { type AskedByAnother, QuestionLinks } from './question-links.js';
import { journalFile, type PaidReply } from './reply-journal.js';
import { parsedLine, wholeLines } from './reply-lines.js';

/** A reply as its journal has it, with what it is a reply to. */
export interface KeptReply extends PaidReply {
  /** `replyDigest` of what was asked. */
  readonly of: string;
  /** `length` where it was cut. */
  readonly finish: string;
  /** How long it might have been, in tokens. */
  readonly maxTokens: number;
}

/** What a question is known by over runs. @param asked plain JSON: what is sent, and what tells one sample from another */
export function replyDigest(asked: unknown): string {
  return createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 32);
}

/** What a line begins with: found there without parsing the trace. */
const prefix = '{"of":"';
const digestLength = 32;

/** What a line ends with: found there without parsing the trace, too. */
const ending = /"maxTokens":(\d+)(?:,"taken":true)?\}\n$/;
const endingLength = 64;

interface Place {
  readonly maxTokens: number;
  /** Path of the journal. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** How long what another process keeps meanwhile may be overlooked, in milliseconds. */
const staleMilliseconds = 1000;
/** Who has kept something so lately may keep more at any moment, in milliseconds. */
const recentMilliseconds = 60_000;

/** Replies that other runs paid for, also such as run at the same time, by what was asked. Only their places are in memory. */
export class EarlierReplies<Reply extends KeptReply> {
  /** By question: one for each `maxTokens` that it was asked with. */
  private readonly places = new Map<string, readonly Place[]>();
  /** How far each journal is read, in bytes. */
  private readonly ends = new Map<string, number>();
  /** Journals that somebody may be writing: nothing in them is overlooked. */
  private readonly recent = new Set<string>();
  private reading: Promise<void> = Promise.resolve();
  private readAt = Number.NEGATIVE_INFINITY;
  private releases = 0;

  private constructor(
    private readonly folder: string,
    /** Of those whose journals beside that folder are read, too, as they grow; undefined: none is. */
    private readonly links: QuestionLinks | undefined,
  ) {}

  /** Those of the journals in the folders beside one. */
  static async beside<Reply extends KeptReply>(folder: string): Promise<EarlierReplies<Reply>> {
    const earlier = new EarlierReplies<Reply>(folder, await QuestionLinks.of(dirname(folder)));
    await earlier.readNew();
    return earlier;
  }

  /** Those of the journal of one folder, as it is now. */
  static async in<Reply extends KeptReply>(folder: string): Promise<EarlierReplies<Reply>> {
    const earlier = new EarlierReplies<Reply>(folder, undefined);
    await earlier.read(journalFile(folder));
    return earlier;
  }

  /** Questions that have replies. */
  get size(): number {
    return this.places.size;
  }

  /**
   * Takes a question, which then no other stage or run of this machine asks: it waits until it is released, and finds the
   * reply here.
   */
  claim(of: string): Claim | AskedByAnother {
    const place = dirname(this.folder);
    const taken = claimQuestion(place, of, this.links);
    if ('wait' in taken) return { ...taken, wait: (signal, log) => this.whenAnswered(taken, signal, log) };
    return {
      release: () => {
        const isUpToDate = releasesIn(place) === this.releases;
        taken.release();
        // What came of it is known here: there may be hundreds of journals, which nobody is to look at after each reply.
        if (isUpToDate) this.releases = releasesIn(place);
      },
    };
  }

  /** A reply to the question that is whole, or was cut where it would be cut again. */
  async find(of: string, maxTokens: number): Promise<Reply | undefined> {
    const known = await this.known(of, maxTokens);
    if (known !== undefined) return known;
    // After what is being read, which may have it.
    const read = this.reading.then(() => (this.isStale ? this.readNew() : this.readRecent()));
    this.reading = read.catch(() => undefined);
    await read;
    return this.known(of, maxTokens);
  }

  private async whenAnswered(other: AskedByAnother, signal: AbortSignal, log?: Log): Promise<void> {
    await other.wait(signal, log);
    this.readAt = Number.NEGATIVE_INFINITY;
  }

  private get isStale(): boolean {
    if (this.links === undefined) return false;
    return releasesIn(dirname(this.folder)) !== this.releases || performance.now() - this.readAt > staleMilliseconds;
  }

  private async known(of: string, maxTokens: number): Promise<Reply | undefined> {
    for (const place of this.places.get(of) ?? []) {
      if (place.maxTokens > maxTokens) continue;
      // Its run may have been removed since. What is there and cannot be read would be paid for again.
      await using file = await open(place.file, 'r').catch(unlessMissing);
      if (file === undefined) continue;
      const bytes = Buffer.alloc(place.length);
      await file.read(bytes, 0, place.length, place.offset);
      const reply = parsedLine<Reply>(bytes);
      if (reply?.of !== of) continue;
      if (reply.finish !== 'length' || place.maxTokens === maxTokens) return reply;
    }
    return undefined;
  }

  private async readNew(): Promise<void> {
    const around = dirname(this.folder);
    this.releases = releasesIn(around);
    this.readAt = performance.now();
    for (const name of (await readdir(around)).sort()) {
      if (name !== basename(this.folder)) await this.read(journalFile(join(around, name)));
    }
  }

  private async readRecent(): Promise<void> {
    for (const file of [...this.recent]) await this.read(file);
  }

  private async read(file: string): Promise<void> {
    const start = this.ends.get(file) ?? 0;
    // Most have nothing new, and there may be many.
    const { size, mtimeMs } = (await stat(file).catch(unlessMissing)) ?? { size: 0, mtimeMs: 0 };
    if (Date.now() - mtimeMs < recentMilliseconds) this.recent.add(file);
    else this.recent.delete(file);
    if (size <= start) return;
    await using journal = await open(file, 'r').catch(unlessMissing);
    if (journal === undefined) return;
    let offset = start;
    for await (const line of wholeLines(journal, start)) {
      const maxTokens = ending.exec(line.toString('latin1', Math.max(0, line.length - endingLength)))?.[1];
      if (maxTokens !== undefined && line.toString('latin1', 0, prefix.length) === prefix) {
        const of = line.toString('latin1', prefix.length, prefix.length + digestLength);
        this.note(of, { maxTokens: Number(maxTokens), file, offset, length: line.length });
      }
      offset += line.length;
    }
    this.ends.set(file, offset);
  }

  private note(of: string, place: Place): void {
    const known = this.places.get(of) ?? [];
    if (known.every(({ maxTokens }) => maxTokens !== place.maxTokens)) this.places.set(of, [...known, place]);
  }
}
