import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { Spent } from '../plugin/spending.js';
import { OpenAiEndpoint } from './openai-endpoint.js';

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** A server that does as it is told, and what asking it has cost. */
async function asking(answer: RequestListener) {
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const settled: Spent[] = [];
  const endpoint = new OpenAiEndpoint({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    timeoutMilliseconds: 60_000,
    retries: 0,
    signal: new AbortController().signal,
    cost: {
      spending: { isLimited: false, reserve: async () => ({ settle: (spent: Spent) => void settled.push(spent) }) },
      source: 'model',
      price: { inputPerMillion: 0, outputPerMillion: 1e6 },
    },
  });
  const ask = () => endpoint.post('chat/completions', { max_tokens: 7, messages: [] });
  return { ask, settled };
}

it('reads no more of an answer without end than any has, and counts it as billed', async () => {
  const part = Buffer.alloc(2 ** 20, ' ');
  const { ask, settled } = await asking((_, response) => {
    const send = () => {
      while (!response.destroyed && response.write(part));
    };
    response.on('drain', send);
    send();
  });
  await expect(ask()).rejects.toMatchObject({
    code: 'endpoint_invalid',
    message: expect.stringContaining('answered with more than 64.0 MB.'),
  });
  expect(settled).toMatchObject([{ usd: 7, outputTokens: 7 }]);
});

it('reads characters that come in halves', async () => {
  const answer = Buffer.from(JSON.stringify({ said: 'é' }));
  const { ask } = await asking((_, response) => {
    const half = answer.indexOf('é') + 1;
    response.write(answer.subarray(0, half));
    setImmediate(() => response.end(answer.subarray(half)));
  });
  expect(await ask()).toEqual({ said: 'é' });
});
