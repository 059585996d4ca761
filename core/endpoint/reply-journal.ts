import { readSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { formatCount, formatCounted } from '../figures.js';
import type { Log } from '../plugin/log.js';
import { parsedLine, wholeLines } from './reply-lines.js';

/** What is kept of a question, at least. */
export interface PaidReply {
  /** Of the question in its journal. */
  readonly id: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly dollars: number;
  /** Another journal counted it. */
  readonly taken?: true;
}

/** Where the journal of a folder is. */
export function journalFile(folder: string): string {
  return join(folder, 'replies.jsonl');
}

interface Place {
  readonly offset: number;
  readonly length: number;
}

/** A question is sent, and its answer may cost so much. */
interface Asked {
  readonly asked: string;
  readonly dollars: number;
}

/** A question got no answer; the server may have counted so much for it all the same. */
interface Unanswered {
  readonly unanswered: string;
  readonly dollars: number;
}

/** With `of` first and `maxTokens` last, where they are: EarlierReplies finds them there without parsing what is between. */
function inLineOrder(line: object): object {
  const { of, maxTokens, taken, ...between } = line as Readonly<Record<string, unknown>>;
  // What is undefined is not written.
  return { of, ...between, maxTokens, taken };
}

/**
 * What was paid for, a line of JSON each in `replies.jsonl`: a reply is on the disk before it counts, so that a stage that
 * was killed does not ask again. Only places are in memory, since traces are long. A last line that is torn is dropped; one
 * that is damaged is passed over, and left where it is.
 */
export class ReplyJournal<Entry extends PaidReply> implements AsyncDisposable {
  private readonly places = new Map<string, Place>();
  /** Not on the disk, since they cost nothing. */
  private readonly remembered = new Map<string, Entry>();
  /** Sent, and neither answered nor known to be lost. */
  private readonly open = new Map<string, number>();
  private readonly sums = { inputTokens: 0, outputTokens: 0, dollars: 0 };
  private waiting: { readonly line: Entry | Asked | Unanswered; readonly bytes: Buffer; readonly isSynced: boolean }[] =
    [];
  private writing: Promise<void> = Promise.resolve();
  private failure: { readonly error: unknown } | undefined;
  private end = 0;

  private constructor(private readonly file: FileHandle) {}

  /** Opens the journal of a folder, or begins one. @param log is told what an earlier attempt left */
  static async open<Entry extends PaidReply>(folder: string, log?: Log): Promise<ReplyJournal<Entry>> {
    await mkdir(folder, { recursive: true });
    const path = journalFile(folder);
    const file = await open(path, 'a+', 0o600);
    const journal = new ReplyJournal<Entry>(file);
    try {
      const damaged = await journal.readLines();
      if (damaged > 0) {
        const what = `${formatCount(damaged)} of its lines cannot be read, and what they kept is asked for again.`;
        log?.warning(`${path} is damaged: ${what}`);
      }
      // What was under way when its core was killed may have been answered, and then it costs what it can.
      for (const dollars of journal.open.values()) journal.sums.dollars += dollars;
      journal.open.clear();
      if (journal.size > 0) {
        log?.info(`Kept from before and not asked for again: ${formatCounted(journal.size, 'reply', 'replies')}.`);
      }
      return journal;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  has(id: string): boolean {
    return this.places.has(id) || this.remembered.has(id);
  }

  get(id: string): Entry | undefined {
    const place = this.places.get(id);
    if (place === undefined) return this.remembered.get(id);
    const bytes = Buffer.alloc(place.length);
    readSync(this.file.fd, bytes, 0, place.length, place.offset);
    return JSON.parse(bytes.toString('utf8')) as Entry;
  }

  /** Replies, those that cost nothing included. */
  get size(): number {
    return this.places.size + this.remembered.size;
  }

  /** Tokens and dollars of all attempts; dollars also of questions that may have been counted without an answer. */
  get totals(): { readonly inputTokens: number; readonly outputTokens: number; readonly dollars: number } {
    return { ...this.sums };
  }

  /** Resolves when the reply is on the disk. May be called by many at a time. */
  add(reply: Entry): Promise<void> {
    return this.write(reply, { isSynced: true });
  }

  /** Keeps a reply of another journal, which is paid for, and can be had there again. */
  take(reply: Entry): Promise<void> {
    return this.write({ ...reply, taken: true }, { isSynced: false });
  }

  /** Keeps a reply that cost nothing, until the journal is closed. */
  remember(reply: Entry): void {
    this.remembered.set(reply.id, reply);
  }

  /** Call before a question is sent that may cost so much. */
  asked(id: string, dollars: number): Promise<void> {
    return this.write({ asked: id, dollars }, { isSynced: false });
  }

  /** Call where a question that was sent got no answer. */
  unanswered(id: string, dollars: number): Promise<void> {
    return this.write({ unanswered: id, dollars }, { isSynced: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writing;
    await this.file.close();
  }

  /** Lines that come while a write is under way go into the next one together, and are synced as one. */
  private async write(line: Entry | Asked | Unanswered, { isSynced }: { readonly isSynced: boolean }): Promise<void> {
    this.waiting.push({ line, bytes: Buffer.from(`${JSON.stringify(inLineOrder(line))}\n`), isSynced });
    const turn = this.writing.then(() => this.writeWaiting());
    this.writing = turn.catch(() => undefined);
    await turn;
  }

  private async writeWaiting(): Promise<void> {
    // What is on the disk is not known any more.
    if (this.failure !== undefined) throw this.failure.error;
    const lines = this.waiting.splice(0);
    // Those of an earlier turn were written with it.
    if (lines.length === 0) return;
    try {
      await this.file.appendFile(Buffer.concat(lines.map(({ bytes }) => bytes)));
      if (lines.some(({ isSynced }) => isSynced)) await this.file.datasync();
    } catch (error) {
      this.failure = { error };
      throw error;
    }
    for (const { line, bytes } of lines) this.note(line, bytes.length);
  }

  private note(line: Entry | Asked | Unanswered, length: number): void {
    const place = { offset: this.end, length };
    this.end += length;
    if ('asked' in line) {
      this.loseOpen(line.asked);
      this.open.set(line.asked, line.dollars);
    } else if ('unanswered' in line) {
      this.open.delete(line.unanswered);
      this.sums.dollars += line.dollars;
    } else {
      if (line.taken === true) this.loseOpen(line.id);
      this.open.delete(line.id);
      this.places.set(line.id, place);
      if (line.taken === true) return;
      for (const sum of ['inputTokens', 'outputTokens', 'dollars'] as const) this.sums[sum] += line[sum];
    }
  }

  /** A question that is asked again, or needs not be, had no answer when its core was killed. */
  private loseOpen(id: string): void {
    this.sums.dollars += this.open.get(id) ?? 0;
    this.open.delete(id);
  }

  /** @returns how many lines cannot be read */
  private async readLines(): Promise<number> {
    let damaged = 0;
    for await (const text of wholeLines(this.file)) {
      const line = parsedLine<Entry | Asked | Unanswered>(text);
      if (line !== undefined) this.note(line, text.length);
      else {
        damaged += 1;
        this.end += text.length;
      }
    }
    await this.file.truncate(this.end);
    return damaged;
  }
}
