import { type EarlierReplies, type Pace, pace, type ReplyJournal, replyDigest } from 'simmerkit';
import type { Answerer, AskingContext, KeptAnswer, Question, Reply, Sampling } from './answerer.js';

/** How far a stage is that asks models, with tokens and dollars. */
export interface AskingProgress extends Pick<Pace, 'skip'> {
  step(): Promise<void>;
  finish(): Promise<void>;
}

/**
 * @param journals of all models that are asked
 * @param total questions in all, those included that are answered already; null: not known beforehand
 */
export function askingProgress(
  context: AskingContext,
  journals: readonly ReplyJournal<KeptAnswer>[],
  total: number | null,
): AskingProgress {
  const sum = (of: 'inputTokens' | 'outputTokens' | 'dollars') =>
    journals.reduce((all, { totals }) => all + totals[of], 0);
  const startedAt = performance.now();
  const tokensBefore = sum('outputTokens');
  const steps = pace(context, { unit: 'questions', total });
  const figures = () => {
    const seconds = Math.max(1e-3, (performance.now() - startedAt) / 1000);
    const outputTokens = sum('outputTokens');
    return {
      inputTokens: sum('inputTokens'),
      outputTokens,
      tokensPerSecond: (outputTokens - tokensBefore) / seconds,
      ...(sum('dollars') > 0 ? { dollars: sum('dollars') } : {}),
    };
  };
  return {
    skip: () => steps.skip(),
    step: () => steps.step(figures),
    finish: () => steps.finish(figures()),
  };
}

export interface Asking {
  readonly journal: ReplyJournal<KeptAnswer>;
  /** Replies that are as good as new ones. Absent: there are none. */
  readonly earlier?: EarlierReplies<KeptAnswer> | undefined;
  readonly progress: AskingProgress;
  /** Called only where something is to be asked. */
  readonly answerer: () => Promise<Answerer>;
  readonly sampling: Sampling;
}

/**
 * Asks the questions that have no reply in the journal yet, each once, and keeps each reply before another question takes
 * its place. The caller finishes the progress.
 */
export async function askQuestions(
  context: AskingContext,
  questions: AsyncIterable<Question>,
  asking: Asking,
): Promise<void> {
  const { journal, progress, answerer, sampling } = asking;
  /** Digests of the questions by their ids. */
  const digests = new Map<string, string>();
  const keep = async (reply: Reply) => {
    const kept = { of: digests.get(reply.id) ?? '', ...reply, maxTokens: sampling.maxTokens };
    // The server refused the request itself: it counted nothing, and may take it when it is asked again.
    if (reply.finish === 'refused' && reply.outputTokens === 0 && reply.dollars === 0) journal.remember(kept);
    else await journal.add(kept);
    await progress.step();
  };
  const missing = missingOf(context, questions, asking, digests);
  const first = await missing.next();
  if (first.done === true) return;
  await (await answerer()).answer(withFirst(first.value, missing), sampling, keep, context.signal);
}

async function* missingOf(
  { log }: AskingContext,
  questions: AsyncIterable<Question>,
  { journal, earlier, progress, sampling }: Asking,
  digests: Map<string, string>,
): AsyncGenerator<Question> {
  let taken = 0;
  for await (const question of questions) {
    if (digests.has(question.id)) continue;
    const of = questionDigest(question);
    digests.set(question.id, of);
    const known = journal.has(question.id) ? undefined : await earlier?.find(of, sampling.maxTokens);
    if (known !== undefined) {
      await journal.take(known);
      taken++;
    }
    if (journal.has(question.id)) progress.skip();
    else yield question;
  }
  if (taken > 0) log.info(`${taken} replies were paid for by earlier runs and are not asked for again.`);
}

/** Its id tells one sample from another. */
function questionDigest({ id, messages }: Question): string {
  return replyDigest([id, messages.map(({ role, content }) => [role, content])]);
}

async function* withFirst<T>(first: T, others: AsyncIterable<T>): AsyncIterable<T> {
  yield first;
  yield* others;
}
