import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Replies that were paid for, a line of JSON each, on the disk before they count: a stage that was killed does not ask
 * again. A torn last line is dropped.
 */
export class ReplyJournal<Reply extends { readonly id: string }> implements AsyncDisposable {
  private readonly replies = new Map<string, Reply>();
  private writing: Promise<void> = Promise.resolve();

  private constructor(private readonly file: FileHandle) {}

  /** Opens the journal of a stage's scratch folder, or begins one. */
  static async open<Reply extends { readonly id: string }>(folder: string): Promise<ReplyJournal<Reply>> {
    const file = await open(join(folder, 'replies.jsonl'), 'a+', 0o600);
    const journal = new ReplyJournal<Reply>(file);
    try {
      await journal.readReplies();
      return journal;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get(id: string): Reply | undefined {
    return this.replies.get(id);
  }

  all(): Iterable<Reply> {
    return this.replies.values();
  }

  get size(): number {
    return this.replies.size;
  }

  /** Resolves when the reply is on the disk. May be called by many at a time. */
  add(reply: Reply): Promise<void> {
    const written = this.writing.then(async () => {
      await this.file.appendFile(`${JSON.stringify(reply)}\n`);
      await this.file.datasync();
      this.replies.set(reply.id, reply);
    });
    this.writing = written.catch(() => undefined);
    return written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writing;
    await this.file.close();
  }

  private async readReplies(): Promise<void> {
    const bytes = await this.file.readFile();
    let from = 0;
    for (let to = bytes.indexOf('\n'); to >= 0; to = bytes.indexOf('\n', from)) {
      const reply = parsed<Reply>(bytes.toString('utf8', from, to));
      if (reply === undefined) break;
      this.replies.set(reply.id, reply);
      from = to + 1;
    }
    if (from < bytes.length) await this.file.truncate(from);
  }
}

/** Undefined for a line that was not written to its end. */
function parsed<Reply>(line: string): Reply | undefined {
  try {
    return JSON.parse(line) as Reply;
  } catch {
    return undefined;
  }
}
