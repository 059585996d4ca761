import {
  type AskedByAnother,
  type Claim,
  type EarlierReplies,
  formatCounted,
  type Pace,
  pace,
  type ReplyJournal,
  replyDigest,
  UserError,
} from 'simmerkit';
import type { Answerer, AskingContext, KeptAnswer, Question, Reply, Sampling } from './answerer.js';

/** How far a stage is that asks models, with tokens and dollars. */
interface AskingProgress extends Pick<Pace, 'skip'> {
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

interface Asking {
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
 * its place. What another stage, run or process asks meanwhile comes last, when that one has its reply. The caller
 * finishes the progress.
 */
export async function askQuestions(
  context: AskingContext,
  questions: AsyncIterable<Question>,
  asking: Asking,
): Promise<void> {
  const { journal, progress, answerer, sampling } = asking;
  const begun: Begun = { digests: new Map(), claims: new Map() };
  const release = (id: string) => {
    begun.claims.get(id)?.release();
    begun.claims.delete(id);
  };
  const keep = async (reply: Reply) => {
    const kept = { of: begun.digests.get(reply.id) ?? '', ...reply, maxTokens: sampling.maxTokens };
    // The server refused the request itself: it counted nothing, and may take it when it is asked again.
    if (reply.finish === 'refused' && reply.outputTokens === 0 && reply.dollars === 0) journal.remember(kept);
    else await journal.add(kept);
    release(reply.id);
    await progress.step();
  };
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  try {
    const missing = missingOf({ ...context, signal }, questions, asking, begun, release);
    const first = await missing.next();
    if (first.done === true) return;
    const left = endedBy(over, withFirst(first.value, missing));
    await (await answerer()).answer(left, sampling, keep, context.signal);
  } finally {
    for (const claim of begun.claims.values()) claim.release();
  }
}

/** By the ids of questions. */
interface Begun {
  readonly digests: Map<string, string>;
  /** Of those that are asked now. */
  readonly claims: Map<string, Claim>;
}

async function* missingOf(
  { log, signal }: AskingContext,
  questions: AsyncIterable<Question>,
  asking: Asking,
  begun: Begun,
  release: (id: string) => void,
): AsyncGenerator<Question> {
  const { journal, earlier, progress, sampling } = asking;
  let taken = 0;
  for await (const question of claimed(questions, asking, begun, { log, signal })) {
    const { id } = question;
    const known = journal.has(id) ? undefined : await earlier?.find(begun.digests.get(id) ?? '', sampling.maxTokens);
    if (known !== undefined) {
      await journal.take(known);
      taken++;
    }
    if (journal.has(id)) {
      release(id);
      progress.skip();
    } else yield question;
  }
  if (taken > 0)
    log.info(`Paid for by earlier runs and not asked for again: ${formatCounted(taken, 'reply', 'replies')}.`);
}

/** Each question once, from when no other stage, run or process asks it; at once where its reply is there. */
async function* claimed(
  questions: AsyncIterable<Question>,
  { journal, earlier }: Pick<Asking, 'journal' | 'earlier'>,
  { digests, claims }: Begun,
  { log, signal }: Pick<AskingContext, 'log' | 'signal'>,
): AsyncGenerator<Question> {
  /** Who else asks it; undefined where it is asked here. */
  const claim = (id: string): AskedByAnother | undefined => {
    if (journal.has(id)) return undefined;
    const taken = earlier?.claim(digests.get(id) ?? '');
    if (taken !== undefined && 'wait' in taken) return taken;
    if (taken !== undefined) claims.set(id, taken);
    return undefined;
  };
  const askedByOthers: Question[] = [];
  for await (const question of questions) {
    const digest = questionDigest(question);
    const before = digests.get(question.id);
    if (before !== undefined && before !== digest) throw twoQuestions(question.id);
    if (before !== undefined) continue;
    digests.set(question.id, digest);
    if (claim(question.id) === undefined) yield question;
    else askedByOthers.push(question);
  }
  for (const question of askedByOthers) {
    for (let other = claim(question.id); other !== undefined; other = claim(question.id)) await other.wait(signal, log);
    yield question;
  }
}

/** A reply is kept by the id of its question: one row would get the reply to what another one asks. */
function twoQuestions(id: string): UserError {
  return new UserError('invalid_problem', `Rows with the same id, ${id}, ask different things.`, {
    kind: 'runFailed',
    hint:
      'An id is made of the question, and `column` is another one: have curation/load take `question` from what is asked, ' +
      'or put curation/deduplicate with `column: id` before this stage.',
  });
}

/** Its id tells one sample from another. */
function questionDigest({ id, messages }: Question): string {
  return replyDigest([id, messages.map(({ role, content }) => [role, content])]);
}

async function* withFirst<T>(first: T, others: AsyncIterable<T>): AsyncGenerator<T> {
  yield first;
  yield* others;
}

/** Whoever wants no more of them ends what they wait for, too. */
function endedBy<T>(over: AbortController, questions: AsyncGenerator<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => questions.next(),
      return() {
        over.abort(new Error('nothing more is asked'));
        return questions.return(undefined);
      },
    }),
  };
}
