import { afterEach, describe, expect, it, vi } from 'vitest';
import { UserError } from '../errors.js';
import { PassingFailure, retryPassing } from './passing-failure.js';

const down = new UserError('server_down', 'The server is down.');

/** What is waited for, in milliseconds, until `send` succeeds or is given up. */
async function waits(send: () => Promise<unknown>, retries: number) {
  const told: (number | undefined)[] = [];
  const { signal } = new AbortController();
  const end = retryPassing(send, { retries, signal, onFailure: (_, wait) => void told.push(wait) });
  return { told, end: await end.catch((error: unknown) => error) };
}

describe('a request that fails in a way that may pass', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('is made again after longer and longer, and then fails with what the user is told', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(-0.49);
    const send = vi.fn(() => Promise.reject(new PassingFailure(down, false)));
    const { told, end } = await waits(send, 3);
    expect(told.map((wait) => wait && Math.round(wait))).toEqual([5, 10, 20, undefined]);
    expect(end).toBe(down);
    expect(send).toHaveBeenCalledTimes(4);
  });

  it('is not counted where it came further than before', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(-0.49);
    const far = [1, 2, 2, 3, 3, 3];
    const send = vi.fn(() => Promise.reject(new PassingFailure(down, false)));
    const progress = () => far[send.mock.calls.length - 1] ?? 3;
    const { signal } = new AbortController();
    await expect(retryPassing(send, { retries: 2, signal, progress, onFailure() {} })).rejects.toBe(down);
    expect(send).toHaveBeenCalledTimes(far.length);
  });

  it('is not made again where the failure is another, or the server asks for a wait without end', async () => {
    const bug = new Error('a bug');
    expect(await waits(() => Promise.reject(bug), 3)).toEqual({ told: [], end: bug });
    const { told, end } = await waits(() => Promise.reject(new PassingFailure(down, false, 3_600_000)), 3);
    expect(told).toEqual([]);
    expect(end).toMatchObject({ code: 'endpoint_asks_to_wait', message: expect.stringContaining('60 minutes') });
  });

  it('stops at once when it is canceled while it waits', async () => {
    const controller = new AbortController();
    const reason = new Error('stopped by the user');
    const retrying = retryPassing(() => Promise.reject(new PassingFailure(down, false, 300_000)), {
      retries: 3,
      signal: controller.signal,
      onFailure: () => void setImmediate(() => controller.abort(reason)),
    });
    await expect(retrying).rejects.toBe(reason);
  });
});
