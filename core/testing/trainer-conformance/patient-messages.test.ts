import { Readable } from 'node:stream';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { patientMessages } from './patient-messages.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** A call that says this, and ends or says nothing more. */
function callOf(messages: readonly string[], ends: boolean): ClientReadableStream<string> {
  const waiting = [...messages];
  const call = new Readable({
    objectMode: true,
    read() {
      const message = waiting.shift();
      if (message !== undefined || ends) this.push(message ?? null);
    },
  });
  return Object.assign(call, { cancel: () => call.destroy(new Error('CANCELLED')) }) as never;
}

it('does not count what its reader does meanwhile', async () => {
  const messages = patientMessages(callOf(['one', 'two'], true), 20);
  expect(await messages.next()).toMatchObject({ value: 'one' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await messages.next()).toMatchObject({ value: 'two' });
  expect(await messages.next()).toMatchObject({ done: true });
});

it('waits no longer than it is to, for all messages together', async () => {
  const call = callOf(['one'], false);
  const messages = patientMessages(call, 20);
  await messages.next();
  const end = expect(messages.next()).rejects.toThrow('did not come to its end within 20 seconds');
  await vi.advanceTimersByTimeAsync(20_000);
  await end;
  expect(call.destroyed).toBe(true);
});
