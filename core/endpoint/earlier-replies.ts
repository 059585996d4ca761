import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { journalFile, type PaidReply } from './reply-journal.js';
import { parsedLine, wholeLines } from './reply-lines.js';

/** A reply as its journal has it, with what it is a reply to. */
export interface KeptReply extends PaidReply {
  /** `replyDigest` of what was asked. First in its line: there it is found without parsing the trace. */
  readonly of: string;
  /** `length` where it was cut. */
  readonly finish: string;
  /** How long it might have been, in tokens. Last in its line. */
  readonly maxTokens: number;
}

/** What a question is known by over runs. @param asked plain JSON: what is sent, and what tells one sample from another */
export function replyDigest(asked: unknown): string {
  return createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 32);
}

const prefix = '{"of":"';
const digestLength = 32;

/** What a line ends with: found there without parsing the trace, too. */
const ending = /"maxTokens":(\d+)(?:,"taken":true)?\}\n$/;
const endingLength = 64;

/** What is there and cannot be read would be paid for again. */
function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}

interface Place {
  readonly maxTokens: number;
  /** Path of the journal. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** Replies that other runs paid for, by what was asked. Only their places are in memory. */
export class EarlierReplies<Reply extends KeptReply> {
  /** By question: one for each `maxTokens` that it was asked with. */
  private readonly places = new Map<string, readonly Place[]>();

  private constructor() {}

  /** Those of the journals in the folders beside one. */
  static async beside<Reply extends KeptReply>(folder: string): Promise<EarlierReplies<Reply>> {
    const earlier = new EarlierReplies<Reply>();
    const around = dirname(folder);
    for (const name of (await readdir(around)).sort()) {
      if (name === basename(folder)) continue;
      await earlier.read(journalFile(join(around, name)));
    }
    return earlier;
  }

  /** Those of the journal of one folder. */
  static async in<Reply extends KeptReply>(folder: string): Promise<EarlierReplies<Reply>> {
    const earlier = new EarlierReplies<Reply>();
    await earlier.read(journalFile(folder));
    return earlier;
  }

  /** Questions that have replies. */
  get size(): number {
    return this.places.size;
  }

  /** A reply to the question that is whole, or was cut where it would be cut again. */
  async find(of: string, maxTokens: number): Promise<Reply | undefined> {
    for (const place of this.places.get(of) ?? []) {
      if (place.maxTokens > maxTokens) continue;
      await using file = await open(place.file, 'r');
      const bytes = Buffer.alloc(place.length);
      await file.read(bytes, 0, place.length, place.offset);
      const reply = parsedLine<Reply>(bytes);
      if (reply?.of !== of) continue;
      if (reply.finish !== 'length' || place.maxTokens === maxTokens) return reply;
    }
    return undefined;
  }

  private async read(file: string): Promise<void> {
    await using journal = await open(file, 'r').catch(unlessMissing);
    if (journal === undefined) return;
    let offset = 0;
    for await (const line of wholeLines(journal)) {
      const maxTokens = ending.exec(line.toString('latin1', Math.max(0, line.length - endingLength)))?.[1];
      if (maxTokens !== undefined && line.toString('latin1', 0, prefix.length) === prefix) {
        const of = line.toString('latin1', prefix.length, prefix.length + digestLength);
        this.note(of, { maxTokens: Number(maxTokens), file, offset, length: line.length });
      }
      offset += line.length;
    }
  }

  private note(of: string, place: Place): void {
    const known = this.places.get(of) ?? [];
    if (known.every(({ maxTokens }) => maxTokens !== place.maxTokens)) this.places.set(of, [...known, place]);
  }
}
