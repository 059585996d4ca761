import { formatCounted } from '../figures.js';
import type { Log } from '../plugin/log.js';
import { EarlierReplies, type KeptReply } from './earlier-replies.js';
import { ReplyJournal } from './reply-journal.js';

/** A reply without what is known of it before it is there. */
type Said<Reply extends KeptReply> = Omit<Reply, 'id' | 'of' | 'maxTokens'>;

/**
 * What a server was asked, and what it said: on the disk before it counts, so that neither a run that goes on, nor a later
 * one, nor another one on this machine pays for the same again. It may be asked many things at a time.
 */
export class PaidReplies<Reply extends KeptReply> implements AsyncDisposable {
  private readonly underWay = new Set<Promise<unknown>>();
  private taken = 0;

  private constructor(
    private readonly journal: ReplyJournal<Reply>,
    private readonly earlier: EarlierReplies<Reply>,
    private readonly log: Log,
  ) {}

  /** @param folder of its own, beside those of others that may ask the same */
  static async open<Reply extends KeptReply>(folder: string, log: Log): Promise<PaidReplies<Reply>> {
    const earlier = await EarlierReplies.beside<Reply>(folder);
    return new PaidReplies(await ReplyJournal.open<Reply>(folder, log), earlier, log);
  }

  get isEmpty(): boolean {
    return this.journal.size === 0;
  }

  /**
   * The reply to what has this digest, which is asked where nobody was paid for it, and kept by this digest and length
   * where it says to.
   * @param of `replyDigest` of all that the reply depends on, but `maxTokens`
   * @param maxTokens how long it may be
   * @throws what `ask` throws, or the signal's reason
   */
  async to(
    of: string,
    maxTokens: number,
    ask: () => Promise<{ readonly reply: Said<Reply>; readonly isKept: boolean }>,
    signal: AbortSignal,
  ): Promise<Reply> {
    for (;;) {
      // Thousands may be kept, one after the other.
      signal.throwIfAborted();
      const kept = this.journal.get(of);
      if (kept !== undefined) return kept;
      const claim = this.earlier.claim(of);
      if ('wait' in claim) {
        await claim.wait(signal, this.log);
        continue;
      }
      const reply = this.find(of, maxTokens, ask).finally(() => {
        this.underWay.delete(reply);
        claim.release();
      });
      this.underWay.add(reply);
      return reply;
    }
  }

  /** After what is under way, which is paid for. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.underWay);
    if (this.taken > 0)
      this.log.info(
        `Paid for by earlier runs and not asked for again: ${formatCounted(this.taken, 'reply', 'replies')}.`,
      );
    await this.journal[Symbol.asyncDispose]();
  }

  private async find(of: string, maxTokens: number, ask: Parameters<PaidReplies<Reply>['to']>[2]): Promise<Reply> {
    const earlier = await this.earlier.find(of, maxTokens);
    if (earlier !== undefined) {
      await this.journal.take(earlier);
      this.taken++;
      return earlier;
    }
    const { reply: said, isKept } = await ask();
    const reply = { ...said, id: of, of, maxTokens } as Reply;
    if (isKept) await this.journal.add(reply);
    return reply;
  }
}
