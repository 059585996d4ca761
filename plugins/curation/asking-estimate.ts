import {
  EarlierReplies,
  endpointEstimate,
  type Facts,
  formatCount,
  type PaidEstimate,
  type StageEstimateContext,
} from 'simmerkit';
import type { AnswererOptions } from './asking-options.js';
import { keptOf } from './open-replies.js';

/** Of a question, where nothing is known of it. */
export const questionTokens = 512;

/** What models are asked, at most. */
interface AskedWork {
  /** Undefined: not known yet. */
  readonly requests: number | undefined;
  readonly promptTokens: number;
  /** Longest reply. */
  readonly maxTokens: number;
  /** What replies depend on besides, as `openReplies` is given it. */
  readonly sampling: object;
}

/**
 * What asking a model takes, as its options have it: in a trainer by what its plugin says, behind an API by its price.
 * @param model what a trainer runs
 */
export async function askingEstimate(
  options: AnswererOptions,
  { requests, promptTokens, maxTokens, sampling }: AskedWork,
  model: Facts,
  { trainer, kept }: Pick<StageEstimateContext, 'trainer' | 'kept'>,
): Promise<PaidEstimate> {
  if (options.trainer !== undefined) {
    return trainer(options.trainer)({
      kind: 'generation',
      model,
      prompts: requests,
      tokensPerPrompt: maxTokens,
      longestSequence: promptTokens + maxTokens,
    });
  }
  const { url = '', concurrency, requestsPerMinute, price, maxDollars } = options;
  const { own, others } = await kept(keptOf(options, sampling));
  const replies = own === undefined ? 0 : (await EarlierReplies.in(own)).size;
  const estimate = endpointEstimate({
    url,
    requests: requests === undefined ? undefined : Math.max(0, requests - replies),
    inputTokens: promptTokens,
    outputTokens: maxTokens,
    concurrency,
    requestsPerMinute,
    price,
    maxDollars,
  });
  const all = requests === undefined ? '' : `Of at most ${formatCount(requests)} questions `;
  const notes = [
    ...(replies > 0 ? [`${all}${formatCount(replies)} are answered already, and are not asked again.`] : []),
    ...(others.length > 0 ? ['What earlier runs were answered to the same questions is not paid for again.'] : []),
  ];
  return notes.length === 0 ? estimate : { ...estimate, notes: [...notes, ...(estimate.notes ?? [])] };
}

/** Work that is done at the same time. What is not known of one is not known of the whole; memory is that of the largest. */
export function sideBySide(works: readonly PaidEstimate[]): PaidEstimate {
  if (works.length <= 1) return works[0] ?? {};
  const bytesOf = ({ memory = [] }: PaidEstimate) => memory.reduce((sum, { bytes }) => sum + bytes, 0);
  const { memory, advice } = works.reduce((one, other) => (bytesOf(other) > bytesOf(one) ? other : one));
  const all = (values: readonly (number | undefined)[], fold: (numbers: readonly number[]) => number) =>
    values.every((value) => value !== undefined) ? fold(values as readonly number[]) : undefined;
  const add = (numbers: readonly number[]) => numbers.reduce((sum, value) => sum + value, 0);
  const seconds = all(
    works.map((work) => work.seconds),
    (numbers) => Math.max(...numbers),
  );
  const usd = all(
    works.map((work) => work.usd),
    add,
  );
  const names = new Set(works.flatMap(({ figures }) => Object.keys(figures ?? {})));
  return {
    ...(seconds === undefined ? {} : { seconds }),
    ...(usd === undefined ? {} : { usd }),
    isAtMost: works.some(({ isAtMost }) => isAtMost === true),
    ...(memory === undefined ? {} : { memory }),
    ...(advice === undefined ? {} : { advice }),
    figures: Object.fromEntries(
      [...names].map((name) => [name, add(works.map(({ figures }) => figures?.[name] ?? 0))]),
    ),
    notes: [...new Set(works.flatMap(({ notes = [] }) => notes))],
  };
}
