import { setMaxListeners } from 'node:events';
import type { Agent, Response } from 'undici';
import { UserError } from '../errors.js';
import { redactor } from '../events/redaction.js';
import { formatBytes, formatDuration } from '../figures.js';
import type { Log } from '../plugin/log.js';
import type { Reservation } from '../plugin/spending.js';
import { present } from '../present.js';
import { longestTimer } from '../process/longest-timer.js';
import { readSecret } from '../secrets.js';
import { shortened } from '../shortened-text.js';
import {
  costOf,
  type EndpointCost,
  type EndpointEnd,
  isUncounted,
  mayBeBilled,
  mostTokens,
  spentOn,
} from './endpoint-cost.js';
import { OutOfTime, PassingFailure, pause, retryAfter, retryPassing } from './passing-failure.js';

/** Where an OpenAI-compatible server is, and how it is asked. */
export interface EndpointOptions {
  /** With `/v1`, e.g. `http://localhost:8000/v1`. */
  readonly url: string;
  /** Name of the environment variable that holds the key; absent: none is sent. */
  readonly apiKeyVariable?: string | undefined;
  /** For one answer, in milliseconds. */
  readonly timeoutMilliseconds: number;
  /**
   * How often a request is made again after a failure that may pass: no connection, half an answer, HTTP 408, 429, 5xx.
   * Longer each time, with jitter, and never before the time of a `Retry-After`, which all requests of the endpoint heed.
   */
  readonly retries: number;
  /** Requests are spaced so that no more are begun in a minute. @default unlimited */
  readonly requestsPerMinute?: number | undefined;
  /** Aborted: nothing more is begun. What may cost something and was sent is still waited for, as its reservation says. */
  readonly signal: AbortSignal;
  /** Each POST, made again or not, first sets aside the most that it can cost. @default nothing is counted */
  readonly cost?: EndpointCost | undefined;
  /**
   * Is told of failures that are tried again, what took too long may be paid for each time; and, once, that the server
   * does not count tokens.
   */
  readonly log?: Log | undefined;
}

/** The server answered that it will not. */
export class EndpointRefusal extends UserError {
  constructor(
    /** Of HTTP. */
    readonly status: number,
    message: string,
    hint: string,
  ) {
    super('endpoint_refused', message, { kind: 'environment', hint });
  }
}

/** The body of a request, as JSON has it. */
export type EndpointBody = Readonly<Record<string, unknown>>;

/** Goes around each sending of a request, also one that is made again: where what it costs is held. */
export type AroundSending = (send: () => Promise<unknown>) => Promise<unknown>;

/** Asks an OpenAI-compatible server for JSON. */
export class OpenAiEndpoint {
  private readonly base: string;
  /** When `requestsPerMinute` lets the next request begin, as `performance.now()` has it. */
  private nextStart = 0;
  /** Before which the server does not want to be asked. */
  private notBefore = 0;
  private agent: Agent | undefined;
  private isSlownessTold = false;
  private isMissingCountTold = false;
  /** When a failure was told last, as `performance.now()` has it. */
  private failureToldAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: EndpointOptions) {
    // Each request that is under way listens; Node would take more than ten for a leak.
    setMaxListeners(0, options.signal);
    this.base = options.url.replace(/\/+$/, '');
  }

  /** The answer to GET. @throws UserError `endpoint_*` */
  get(path: string): Promise<unknown> {
    return this.request(path);
  }

  /**
   * The answer to POST.
   * @param around goes around each sending; the request may be made again, and then it is called again
   * @throws UserError `endpoint_unreachable`, `endpoint_refused`, `endpoint_invalid`, `endpoint_asks_to_wait`; where it
   * has a `cost` also `budget_reached`, `price_missing`
   */
  post(path: string, body: EndpointBody, around?: AroundSending): Promise<unknown> {
    return this.request(path, body, around);
  }

  private request(path: string, body?: EndpointBody, around: AroundSending = (send) => send()): Promise<unknown> {
    return retryPassing(
      async () => {
        await this.turn();
        return around(() => this.once(path, body));
      },
      {
        retries: this.options.retries,
        signal: this.options.signal,
        onFailure: (failure, wait) => {
          this.notBefore = Math.max(this.notBefore, performance.now() + failure.afterMilliseconds);
          if (wait === undefined) return;
          if (failure instanceof OutOfTime) this.tellSlowness();
          else this.tellFailure(failure);
        },
      },
    );
  }

  private async once(path: string, body?: EndpointBody): Promise<unknown> {
    const url = path.startsWith('/') ? new URL(path, this.base).href : `${this.base}/${path}`;
    const { signal, timeoutMilliseconds } = this.options;
    const headers = { ...this.authorization(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const { fetch } = await import('undici');
    this.agent ??= await openAgent();
    signal.throwIfAborted();
    const { settle, dropped = signal } = await this.setAside(body);
    if (signal.aborted) settle({ kind: 'neverSent' });
    signal.throwIfAborted();
    const limit = timeLimit(timeoutMilliseconds, dropped);
    let response: Response;
    let text: string | undefined;
    try {
      response = await fetch(url, {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: limit.signal,
        dispatcher: this.agent,
      });
      text = await textOf(response);
    } catch (error) {
      const cause = (error as Error).cause;
      const end = { kind: 'brokenOff', cause } as const;
      settle(end);
      const why = cause instanceof Error ? cause.message : (error as Error).message;
      const Failure = limit.isOver ? OutOfTime : PassingFailure;
      throw new Failure(
        new UserError('endpoint_unreachable', `${url} did not answer: ${why}.`, {
          kind: 'environment',
          hint: `Start the server, correct \`url\`, or raise \`timeoutMilliseconds\`.${unusedProxy()}`,
        }),
        mayBeBilled(end),
      );
    } finally {
      limit.end();
    }
    if (text === undefined) {
      settle({ kind: 'answered', body: undefined });
      throw new PassingFailure(
        new UserError('endpoint_invalid', `${url} answered with more than ${formatBytes(mostAnswerBytes)}.`, {
          kind: 'environment',
          hint: 'No answer of a model is that long: check `url`, and the log of the server.',
        }),
        true,
      );
    }
    if (!response.ok) {
      settle({ kind: 'refused', status: response.status });
      throw refusal(url, response, text);
    }
    let answer: unknown;
    try {
      answer = parsed(text);
    } catch {
      settle({ kind: 'answered', body: undefined });
      throw new PassingFailure(
        new UserError('endpoint_invalid', `${url} answered with something that is not JSON: ${told(text)}`, {
          kind: 'environment',
          hint: 'Check that `url` is the base of an OpenAI-compatible API; it usually ends in /v1.',
        }),
        true,
      );
    }
    settle({ kind: 'answered', body: answer });
    if (isError(answer)) throw new PassingFailure(refusalOf(url, response, text), true);
    if (isUncounted(answer)) this.tellMissingCount();
    return answer;
  }

  /** Sets aside the most that a request can cost. `settle` takes what became of it. */
  private async setAside(
    body: EndpointBody | undefined,
  ): Promise<Pick<Reservation, 'dropped'> & { settle(end: EndpointEnd): void }> {
    const { cost } = this.options;
    if (cost === undefined || body === undefined) return { settle() {} };
    const { price, source, spending } = cost;
    const most = mostTokens(body);
    const seconds = this.options.timeoutMilliseconds / 1000;
    const reservation = await spending.reserve({ source, usd: price && costOf(most, price), seconds });
    const settle = (end: EndpointEnd) => reservation.settle(spentOn(end, most, price));
    return { settle, ...present({ dropped: reservation.dropped }) };
  }

  private tellSlowness(): void {
    if (this.isSlownessTold) return;
    this.isSlownessTold = true;
    const time = formatDuration(this.options.timeoutMilliseconds / 1000);
    this.options.log?.warning(
      `${this.base} gave no answer within ${time}. The request is sent again, and each one may be billed. If the server is ` +
        'only slow, run again with a higher `timeoutMilliseconds`: all replies until then are kept.',
    );
  }

  private tellMissingCount(): void {
    const { cost, log } = this.options;
    if (this.isMissingCountTold || cost === undefined) return;
    this.isMissingCountTold = true;
    log?.warning(
      `${this.base} does not say how many tokens a reply took (\`usage\`). Each such reply counts the most that it could ` +
        `take, so ${cost.price === undefined ? 'the spent tokens' : 'what is spent'} will look like more than it is.`,
    );
  }

  /** Not each one: of many requests at a time, many fail alike. */
  private tellFailure({ message }: PassingFailure): void {
    const now = performance.now();
    if (now - this.failureToldAt < failuresApartMilliseconds) return;
    this.failureToldAt = now;
    this.options.log?.info(`A request is sent again: ${message}`);
  }

  /** Waits until `requestsPerMinute` and what the server asked for let another request begin. */
  private async turn(): Promise<void> {
    const { requestsPerMinute, signal } = this.options;
    if (requestsPerMinute !== undefined) {
      const now = performance.now();
      const start = Math.max(now, this.nextStart);
      this.nextStart = start + 60_000 / requestsPerMinute;
      if (start > now) await pause(start - now, signal);
    }
    // Others may be told to wait while this one does.
    for (let now = performance.now(); now < this.notBefore; now = performance.now())
      await pause(this.notBefore - now, signal);
  }

  private authorization(): Record<string, string> {
    const name = this.options.apiKeyVariable;
    return name === undefined ? {} : { authorization: `Bearer ${readSecret(name)}` };
  }
}

/**
 * Node's own `fetch` gives up after five minutes without headers, and a model that thinks may be silent for longer;
 * `timeoutMilliseconds` is the limit.
 */
async function openAgent(): Promise<Agent> {
  const { Agent } = await import('undici');
  return new Agent({ headersTimeout: 0, bodyTimeout: 0 });
}

/** Said to whom a proxy is all there is of the network. */
function unusedProxy(): string {
  const names = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'];
  const name = names.find((each) => (process.env[each] ?? '') !== '');
  return name === undefined ? '' : ` It was asked directly: \`${name}\` is not used for it.`;
}

/** Between two failures that are told. */
const failuresApartMilliseconds = 30_000;

/** Far above the longest reply: a million tokens of it are about 5 MB. */
const mostAnswerBytes = 64e6;

/** The text of an answer; undefined where it is longer than `mostAnswerBytes`, then the rest is not waited for. */
async function textOf({ body }: Response): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > mostAnswerBytes) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/**
 * A signal that is aborted with another one, or when the time is over. Not by `AbortSignal.timeout`, which Node may collect
 * as garbage while `AbortSignal.any` waits for it: then a server that never answers is waited for without end.
 */
function timeLimit(milliseconds: number, signal: AbortSignal) {
  const controller = new AbortController();
  const stop = () => controller.abort(signal.reason);
  let isOver = false;
  const end = () => {
    isOver = true;
    controller.abort(new Error(`no answer within ${milliseconds} ms`));
  };
  const timer = setTimeout(end, Math.min(milliseconds, longestTimer));
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return {
    signal: controller.signal,
    /** Whether the time was over first. */
    get isOver() {
      return isOver && !signal.aborted;
    },
    end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    },
  };
}

/** Half characters, which JSON can hold and UTF-8 cannot, become U+FFFD. @throws SyntaxError */
function parsed(text: string): unknown {
  const hasSurrogates = /\\ud[89a-f]/i.test(text);
  return JSON.parse(text, hasSurrogates ? (_, value: unknown) => wellFormed(value) : undefined);
}

function wellFormed(value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

/** Gateways that had begun to answer with HTTP 200 can tell of a failure only so. */
function isError(answer: unknown): boolean {
  const { error, choices } = (answer ?? {}) as { readonly error?: unknown; readonly choices?: unknown };
  return error !== undefined && error !== null && choices === undefined;
}

function refusal(url: string, response: Response, text: string): Error {
  const { status, headers } = response;
  const error = refusalOf(url, response, text);
  const mayPass = status === 408 || status === 429 || status >= 500;
  return mayPass
    ? new PassingFailure(error, mayBeBilled({ kind: 'refused', status }), retryAfter(headers.get('retry-after')))
    : error;
}

function refusalOf(url: string, { status }: Response, text: string): EndpointRefusal {
  return new EndpointRefusal(status, `${url} refused (HTTP ${status}): ${told(text)}`, hintOn(status));
}

function hintOn(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return 'Check the key in the variable that `apiKeyVariable` names, and what it may do; without that option none is sent.';
    case 402:
      return 'The account has nothing left: pay it in, then resume the run. What is answered is kept.';
    case 404:
      return 'The server does not have this call, or no such model: check `url` and `model`.';
    default:
      return "Read the server's own log, and check the model's name and the limits that it was started with.";
  }
}

function told(text: string): string {
  // Before it is cut: a half of a key is not known for what it is.
  return shortened(redactor()(text), 300);
}
