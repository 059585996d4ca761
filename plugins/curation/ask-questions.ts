import { type Pace, pace } from 'simmerkit';
import type { Answerer, AskingContext, Question, Reply, Sampling } from './answerer.js';
import type { ReplyJournal } from './reply-journal.js';

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
  journals: readonly ReplyJournal[],
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
  readonly journal: ReplyJournal;
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
  { journal, progress, answerer, sampling }: Asking,
): Promise<void> {
  const keep = async (reply: Reply) => {
    // The server refused the request itself: it counted nothing, and may take it when it is asked again.
    if (reply.finish === 'refused' && reply.outputTokens === 0 && reply.dollars === 0) journal.remember(reply);
    else await journal.add(reply);
    await progress.step();
  };
  const missing = missingOf(questions, journal, progress);
  const first = await missing.next();
  if (first.done === true) return;
  await (await answerer()).answer(withFirst(first.value, missing), sampling, keep, context.signal);
}

async function* missingOf(
  questions: AsyncIterable<Question>,
  journal: ReplyJournal,
  progress: AskingProgress,
): AsyncGenerator<Question> {
  const asked = new Set<string>();
  for await (const question of questions) {
    if (asked.has(question.id)) continue;
    asked.add(question.id);
    if (journal.has(question.id)) progress.skip();
    else yield question;
  }
}

async function* withFirst<T>(first: T, others: AsyncIterable<T>): AsyncIterable<T> {
  yield first;
  yield* others;
}
