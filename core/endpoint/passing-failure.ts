import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.js';

/** A request failed in a way that may be over when it is made again. */
export class PassingFailure extends Error {
  constructor(
    /** What the user is told where it is not made again. */
    readonly final: UserError,
    /** Whether the server may have done the work, and so counts it: it was sent, and no status came back. */
    readonly mayBeBilled: boolean,
    /** Milliseconds before which the server does not want to be asked. */
    readonly afterMilliseconds = 0,
  ) {
    super(final.message);
  }
}

/** No answer came within the time that a request has. */
export class OutOfTime extends PassingFailure {}

/** A run does not wait longer for one server; it is resumed. */
const longestWaitMilliseconds = 10 * 60_000;
const firstWaitMilliseconds = 500;
const longestBackoffMilliseconds = 30_000;

/**
 * Makes a request again after each `PassingFailure`: later each time, with jitter, and never before the server wants it.
 * @throws the `final` of the last failure, UserError `endpoint_asks_to_wait`, any other error of `send`, the signal's reason
 */
export async function retryPassing<T>(
  send: () => Promise<T>,
  options: {
    readonly retries: number;
    readonly signal: AbortSignal;
    /** How far it is: a try that came further than those before is none of the `retries`. */
    progress?(): number;
    /** Called after each failure. `wait` is in milliseconds; undefined after the last one. */
    onFailure(failure: PassingFailure, wait: number | undefined): void;
  },
): Promise<T> {
  let furthest = 0;
  for (let attempt = 0; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof PassingFailure)) throw error;
      const progress = options.progress?.() ?? 0;
      if (progress > furthest) attempt = 0;
      furthest = Math.max(furthest, progress);
      if (error.afterMilliseconds > longestWaitMilliseconds) throw askedToWait(error);
      const backoff = Math.min(longestBackoffMilliseconds, firstWaitMilliseconds * 2 ** attempt);
      // Many that failed together must not come again together.
      const next = Math.max(error.afterMilliseconds, backoff * (0.5 + Math.random()));
      const wait = attempt < options.retries ? next : undefined;
      options.onFailure(error, wait);
      if (wait === undefined) throw error.final;
      await pause(wait, options.signal);
    }
  }
}

function askedToWait({ final, afterMilliseconds }: PassingFailure): UserError {
  const minutes = Math.ceil(afterMilliseconds / 60_000);
  return new UserError('endpoint_asks_to_wait', `${final.message} It asks to wait ${minutes} minutes.`, {
    kind: 'environment',
    hint: 'Resume the run then: what is complete is kept.',
  });
}

/** Milliseconds that a `Retry-After` asks for, in seconds or as a date. */
export function retryAfter(header: string | null): number {
  if (header === null) return 0;
  const seconds = Number(header);
  const milliseconds = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : 1000 * seconds;
  return Number.isNaN(milliseconds) ? 0 : Math.max(0, milliseconds);
}

/** @throws the signal's reason */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}
