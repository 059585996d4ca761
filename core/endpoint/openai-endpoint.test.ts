import type { RequestListener } from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import { startHttpServer } from '../../test/http-server.js';
import { silentLog } from '../plugin/log.js';
import type { Spent } from '../plugin/spending.js';
import { type EndpointOptions, OpenAiEndpoint } from './openai-endpoint.js';

/** A server that does as it is told, and what asking it has cost. */
async function asking(answer: RequestListener, options: Partial<EndpointOptions> = {}) {
  const server = await startHttpServer(answer);
  onTestFinished(() => server[Symbol.asyncDispose]());
  const settled: Spent[] = [];
  const endpoint = new OpenAiEndpoint({
    url: `${server.url}/v1`,
    timeoutMilliseconds: 60_000,
    retries: 0,
    signal: new AbortController().signal,
    cost: {
      spending: { isLimited: false, reserve: async () => ({ settle: (spent: Spent) => void settled.push(spent) }) },
      source: 'model',
      price: { inputPerMillion: 0, outputPerMillion: 1e6 },
    },
    ...options,
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

it.each([
  // Gemini and Grok leave thinking out of the completion, and have it in the total.
  ['thinking only in the total', { prompt_tokens: 5, completion_tokens: 1, total_tokens: 9 }, 4],
  ['no total', { prompt_tokens: 5, completion_tokens: 3, total_tokens: 0 }, 3],
  ['nothing at all, which no reply takes', { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }, 7],
])('counts all that is paid to a server that counts %s', async (_, usage, outputTokens) => {
  const { ask, settled } = await asking((_, response) => response.end(JSON.stringify({ choices: [{}], usage })));
  await ask();
  expect(settled).toMatchObject([{ usd: outputTokens, outputTokens }]);
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

it('says once that what took too long is asked again, and may be paid for each time', async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warning: (message: string) => void warnings.push(message) };
  let requests = 0;
  const late: RequestListener = (_, response) => {
    requests++;
    if (requests > 2) response.end('{}');
  };
  // On a busy machine the answer may be late, too.
  const { ask, settled } = await asking(late, { timeoutMilliseconds: 100, retries: 50, log });
  expect(await ask()).toEqual({});
  expect(requests).toBeGreaterThan(2);
  expect(settled.map(({ usd }) => usd)).toEqual(Array.from({ length: requests }, () => 7));
  expect(warnings).toEqual([
    expect.stringMatching(
      /^http:\S+ gave no answer within 0\.1s\. The request is sent again, and each one may be billed\./,
    ),
  ]);
});

it('says that a request failed and is made again, not for each of many', async () => {
  const told: string[] = [];
  const log = { ...silentLog, info: (message: string) => void told.push(message) };
  let requests = 0;
  const busy: RequestListener = (_, response) => {
    requests++;
    if (requests > 3) response.end('{}');
    else response.writeHead(503).end('full');
  };
  const { ask } = await asking(busy, { retries: 2, log });
  expect(await Promise.all([ask(), ask()])).toEqual([{}, {}]);
  expect(told).toEqual([expect.stringMatching(/^A request is sent again: http:\S+ refused \(HTTP 503\): full$/)]);
});

it('says once that a server does not count tokens, so that each reply counts the most that it could take', async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warning: (message: string) => void warnings.push(message) };
  const replies = ['{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":2}}', '{"choices":[{}]}'];
  let requests = 0;
  const { ask, settled } = await asking((_, response) => response.end(replies[Math.min(requests++, 1)]), { log });
  await ask();
  expect(warnings).toEqual([]);
  await ask();
  await ask();
  expect(settled.map(({ usd }) => usd)).toEqual([2, 7, 7]);
  expect(warnings).toEqual([
    expect.stringMatching(
      /^http:\S+ does not say how many tokens a reply took \(`usage`\)\. .* what is spent will look/,
    ),
  ]);
});

it('names the model, too, where a server says that there is no such thing', async () => {
  const { ask } = await asking((_, response) => response.writeHead(404).end('{"error":"no such model"}'));
  await expect(ask()).rejects.toMatchObject({ hint: expect.stringContaining('`url` and `model`') });
});

it('says that it uses no proxy, where one is set and the server cannot be reached', async () => {
  const { ask } = await asking((_, response) => response.destroy());
  vi.stubEnv('HTTPS_PROXY', 'http://proxy.example:3128');
  try {
    await expect(ask()).rejects.toMatchObject({ hint: expect.stringContaining('`HTTPS_PROXY` is not used for it.') });
  } finally {
    vi.unstubAllEnvs();
  }
});
