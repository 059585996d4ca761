import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { openAiCompatible } from './openai-compatible.stage.js';

let server: Server | undefined;
afterEach(() => server?.close());

interface Asked {
  readonly prompt: string;
  readonly max_tokens: number;
  readonly stop?: readonly string[];
}
interface Said {
  readonly text: string;
  readonly tokens: number;
  readonly reason: string | null;
}

/** A model whose tokens are the characters of one script: it goes on wherever the thinking so far leaves it. */
function scripted({ prompt, max_tokens, stop = [] }: Asked): Said {
  if (prompt.includes('</think>')) return { text: '42', tokens: 2, reason: 'stop' };
  const thinking = prompt.slice(prompt.indexOf('<think>\n') + '<think>\n'.length);
  const script = thinking.includes('Wait') ? ' again' : 'abcdefghij';
  const done = thinking.includes('Wait') ? thinking.slice(thinking.lastIndexOf('Wait') + 4) : thinking;
  const rest = script.slice(done.length);
  expect(stop).toEqual(['</think>']);
  return rest.length < max_tokens
    ? { text: rest, tokens: rest.length, reason: 'stop' }
    : { text: rest.slice(0, max_tokens), tokens: max_tokens, reason: 'length' };
}

async function serving(answer: (asked: Asked) => Said, status = 200) {
  const asked: Asked[] = [];
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'm', owned_by: 'llamacpp' }] }));
      return;
    }
    const wanted = JSON.parse(body) as Asked;
    asked.push(wanted);
    const { text, tokens, reason } = answer(wanted);
    response.writeHead(status);
    response.end(
      JSON.stringify({
        choices: [{ text, finish_reason: reason }],
        usage: { completion_tokens: tokens, prompt_tokens: 7 },
      }),
    );
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}

const dataset = memoryTable({ id: 'VARCHAR', question: 'VARCHAR' }, [{ id: 'a', question: 'Why?' }]);
const run = (url: string, options: object) =>
  runStage(openAiCompatible, { options: { url, model: 'm', thinkingFormat: 'r1', ...options }, inputs: { dataset } });

describe('budget-forcing/openai-compatible', () => {
  it('decodes the longest maximum once, and forces the shorter ones from its prefix', async () => {
    const { url, asked } = await serving(scripted);
    const result = await run(url, { sweep: { thinkingTokens: [6, 3, 100] } });
    const rows = result.rows('generations');
    expect(rows.map((row) => [row.policy, row.thinking, row.thinking_tokens, row.thinking_end, row.answer])).toEqual([
      ['3', 'abc', 3, 'forced', 'Final Answer:42'],
      ['6', 'abcdef', 6, 'forced', 'Final Answer:42'],
      ['100', 'abcdefghij', 10, 'natural', '42'],
    ]);
    const thinking = asked.filter(({ prompt }) => !prompt.includes('</think>'));
    expect(thinking.map(({ max_tokens }) => max_tokens)).toEqual([3, 3, 94]);
    expect(rows.map((row) => row.shared_thinking_tokens)).toEqual([0, 3, 6]);
    expect(asked.find(({ prompt }) => prompt.includes('Final Answer:'))?.prompt).toBe(
      '<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n<think>\nabc\n</think>\nFinal Answer:',
    );
  });

  it('puts the word in place of the end, as often as asked', async () => {
    const { url } = await serving(scripted);
    const rows = (await run(url, { sweep: { thinkingTokens: [100], ignore: [2] } })).rows('generations');
    expect(rows.map((row) => [row.policy, row.thinking])).toEqual([
      ['100', 'abcdefghij'],
      ['100+2xWait', 'abcdefghijWait againWait again'],
    ]);
    expect(
      (rows[1]!.interventions as { kind: string; position: number }[]).map((one) => [one.kind, one.position]),
    ).toEqual([
      ['extended', 10],
      ['extended', 17],
    ]);
  });

  it('does not believe a finish reason that cannot be true, and says so in the record', async () => {
    const cutEarly = await serving((asked) => ({ ...scripted(asked), reason: 'length' }));
    const [row] = (await run(cutEarly.url, { sweep: { thinkingTokens: [100] } })).rows('generations');
    expect(row).toMatchObject({
      finish_disputed: 'finish_reason length after 10 of 100 tokens',
      thinking_end: 'forced',
    });
    server?.close();
    const tooLong = await serving((asked) => ({ ...scripted(asked), tokens: 999, reason: 'stop' }));
    const [long] = (await run(tooLong.url, { sweep: { thinkingTokens: [4] } })).rows('generations');
    expect(long?.finish_disputed).toContain('999 of 4');
    expect(long?.thinking_tokens).toBe(4);
  });

  it('names a server that cannot continue text', async () => {
    const { url } = await serving(scripted, 404);
    await expect(run(url, {})).rejects.toMatchObject({ code: 'endpoint_cannot' });
  });

  it('names a server that is not there', async () => {
    const { url } = await serving(scripted);
    await new Promise((resolve) => server?.close(resolve));
    await expect(run(url, { retries: 0 })).rejects.toMatchObject({ code: 'endpoint_unreachable' });
  });
});
