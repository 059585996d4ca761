import { formatCount } from '../figures.js';
import type { PaidEstimate } from '../plugin/estimate.js';
import { costOf, type TokenPrice } from './endpoint-cost.js';

/** What a server is going to be asked, at most. */
export interface EndpointWork {
  readonly url: string;
  /** Undefined: not known yet. */
  readonly requests: number | undefined;
  /** Of one request, on average. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Requests under way at a time. */
  readonly concurrency: number;
  readonly requestsPerMinute?: number | undefined;
  readonly price?: TokenPrice | undefined;
  /** A limit of its own. */
  readonly maxDollars?: number | undefined;
}

/** What asking a server takes at most: dollars by the price of its tokens. Its speed is not known. */
export function endpointEstimate(work: EndpointWork): PaidEstimate {
  const { url, requests, inputTokens, outputTokens, concurrency, requestsPerMinute, price, maxDollars } = work;
  if (requests === undefined) return { notes: [unknownRows] };
  const tokens = { input: requests * inputTokens, output: requests * outputTokens };
  const cost =
    price === undefined ? undefined : Math.min(costOf(tokens, price), maxDollars ?? Number.POSITIVE_INFINITY);
  const pace =
    requestsPerMinute === undefined
      ? `How long it takes depends on the server at ${url}.`
      : `${formatCount(requestsPerMinute)} requests a minute take ${formatCount(requests / requestsPerMinute / 60)} hours at least.`;
  return {
    ...(cost === undefined ? {} : { usd: cost }),
    isAtMost: true,
    figures: {
      requests,
      requestsAtOnce: Math.min(concurrency, requests),
      inputTokens: tokens.input,
      outputTokens: tokens.output,
    },
    notes: [pace, ...(price === undefined ? ['Its answers have no `price`: dollars are not counted.'] : [])],
  };
}

/** Why an estimate says nothing, where the rows of an input are not known. */
const unknownRows =
  'How many rows there are is not known before they are there: say it with `expect: { dataset: { rows } }`.';
