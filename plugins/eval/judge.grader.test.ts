import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GraderContext } from 'simmerkit';
import { afterEach, expect, it } from 'vitest';
import { judge, verdictIn } from './judge.grader.js';

let server: Server | undefined;
afterEach(() => server?.close());

/** An endpoint that answers what it is told, by the answer that is judged. */
async function judging(
  reply: (content: string, asked: number) => { readonly status?: number; readonly text: unknown },
) {
  const asked: string[] = [];
  server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { content } = (JSON.parse(body) as { messages: { content: string }[] }).messages[0]!;
    asked.push(content);
    const { status = 200, text } = reply(content, asked.filter((one) => one === content).length);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: text } }] }));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const context = {
    signal: new AbortController().signal,
    spending: { isLimited: false, reserve: async () => ({ settle: () => {} }) },
  } as unknown as GraderContext;
  return { grader: await judge.start(judge.options.parse({ url, model: 'judge' }), context), asked, url };
}

it.each([
  ['Yes', true],
  ['They agree.\n\n**Yes**', true],
  ['They differ.\nno.', false],
  ['Yes, they are equal', null],
  ['Yes\nor rather not', null],
  ['', null],
])('reads the last line of %j as %s', (reply, verdict) => {
  expect(verdictIn(reply)).toBe(verdict);
});

it('grades by the last line, asks again where it is neither, and guesses nothing', async () => {
  const { grader, asked } = await judging((content, times) => {
    if (content.includes('Answer: seven')) return { text: [{ type: 'text', text: 'Seven is 7.\nYes' }] };
    if (content.includes('Answer: eight')) return times < 2 ? { text: 'Hm.' } : { text: 'No' };
    return { text: 'I cannot say.' };
  });
  const items = ['seven', 'eight', '{gold}'].map((answer, index) => ({ id: String(index), gold: '7', answer }));
  const grades = await grader.grade(items);
  expect(grades.map(({ id, verdict }) => [id, verdict])).toEqual([
    ['0', 'right'],
    ['1', 'wrong'],
    ['2', 'unparsed'],
  ]);
  expect(grades[0]?.explanation).toContain('Seven is 7.');
  expect(asked).toHaveLength(1 + 2 + 3);
  // A placeholder in an answer is no placeholder.
  expect(asked.filter((content) => content.includes('Answer: {gold}'))).toHaveLength(3);
});

it('asks again where the server is busy, and names a server that refuses', async () => {
  const { grader } = await judging((_, times) => (times < 2 ? { status: 503, text: '' } : { text: 'Yes' }));
  expect((await grader.grade([{ id: '0', gold: '1', answer: '1' }]))[0]?.verdict).toBe('right');
  server?.close();
  const refusing = await judging(() => ({ status: 401, text: '' }));
  await expect(refusing.grader.grade([{ id: '0', gold: '1', answer: '1' }])).rejects.toMatchObject({
    code: 'endpoint_refused',
    message: expect.stringContaining('HTTP 401'),
  });
});

it('sets aside the most that each question can cost, and says what it did cost', async () => {
  const { url } = await judging(() => ({ text: 'Yes' }));
  const told: (number | undefined)[] = [];
  const context = {
    signal: new AbortController().signal,
    spending: {
      isLimited: true,
      reserve: async ({ usd }: { usd: number | undefined }) => {
        told.push(usd);
        return { settle: (spent: { usd?: number }) => void told.push(spent.usd) };
      },
    },
  } as unknown as GraderContext;
  const price = { inputPerMillion: 0, outputPerMillion: 1000 };
  const options = judge.options.parse({ url, model: 'judge', maxTokens: 500, price });
  const grader = await judge.start(options, context);
  await grader.grade([{ id: '0', gold: '1', answer: '1' }]);
  // This server does not count tokens: then it is the most.
  expect(told).toEqual([0.5, 0.5]);
});
