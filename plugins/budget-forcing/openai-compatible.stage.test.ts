import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptFolders, StageEstimateContext } from 'simmerkit';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { type HttpServer, startHttpServer } from '../../test/http-server.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { openAiCompatible } from './openai-compatible.stage.js';

/** The one that was started last. */
let server: HttpServer;

interface Asked {
  readonly prompt: string;
  readonly max_tokens: number;
  readonly seed: number;
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

/** What a server with a parameter of its own for thinking budgets is asked in chat. */
interface AskedChat {
  readonly thinking_budget_tokens: number;
  readonly max_tokens: number;
  readonly messages: readonly { readonly content: string }[];
}
interface SaidInChat {
  readonly thinking?: string;
  readonly answer: string;
  readonly reason: string;
}

async function serving(answer: (asked: Asked) => Said, status = 200, chat?: (asked: AskedChat) => SaidInChat) {
  const asked: Asked[] = [];
  const started = await startHttpServer((request, response, body) => {
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'm', owned_by: 'llamacpp' }] }));
      return;
    }
    if (request.url === '/tokenize' && chat !== undefined) {
      response.end(JSON.stringify({ tokens: [...(JSON.parse(body) as { content: string }).content] }));
      return;
    }
    if (request.url === '/v1/chat/completions' && chat !== undefined) {
      const { thinking, answer: content, reason } = chat(JSON.parse(body) as AskedChat);
      const message = { content, ...(thinking === undefined ? {} : { reasoning_content: thinking }) };
      response.end(JSON.stringify({ choices: [{ finish_reason: reason, message }], usage: { prompt_tokens: 7 } }));
      return;
    }
    if (request.url !== '/v1/completions') {
      response.writeHead(404);
      response.end('there is no such call');
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
  server = started;
  onTestFinished(() => started[Symbol.asyncDispose]());
  return { url: `${started.url}/v1`, asked };
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
      '<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n<think>\nabc\n</think>\n\nFinal Answer:',
    );
  });

  it('opens no thinking that the chat template has opened', async () => {
    const { url, asked } = await serving(scripted);
    const chatTemplate = { message: '{content}\n', assistant: 'So:\n<think>\n' };
    await run(url, { chatTemplate, sweep: { thinkingTokens: [3] } });
    expect(asked[0]?.prompt).toBe('Why?\nSo:\n<think>\n');
  });

  it('puts no whole end marker behind one that the maximum cut in two', async () => {
    const { url, asked } = await serving(({ prompt, max_tokens }) =>
      prompt.includes('</think>')
        ? { text: '42', tokens: 2, reason: 'stop' }
        : { text: 'abc</think', tokens: max_tokens, reason: 'length' },
    );
    const [row] = (await run(url, { sweep: { thinkingTokens: [5] } })).rows('generations');
    expect(row).toMatchObject({ thinking: 'abc', thinking_end: 'forced', answer: 'Final Answer:42' });
    expect(asked.at(-1)?.prompt.endsWith('<think>\nabc\n</think>\n\nFinal Answer:')).toBe(true);
  });

  it('leaves off what is left of a character at the cut, however many of them a server sends', async () => {
    const halves = '\ufffd'.repeat(400_000);
    const { url } = await serving(({ prompt, max_tokens }) =>
      prompt.includes('</think>')
        ? { text: '42', tokens: 2, reason: 'stop' }
        : { text: `${halves}a\ufffd`, tokens: max_tokens, reason: 'length' },
    );
    const [row] = (await run(url, { sweep: { thinkingTokens: [5] } })).rows('generations');
    expect(row?.thinking === `${halves}a`).toBe(true);
  });

  it('has no two parts of a sample drawn by the same random numbers', async () => {
    const { url, asked } = await serving(scripted);
    await run(url, { sweep: { thinkingTokens: [6, 3, 100], ignore: [1] }, sampling: { temperature: 1 } });
    const thinking = asked.filter(({ prompt }) => !prompt.includes('</think>'));
    // The waits begin as the maxima do; what goes on from there does not.
    expect(thinking.map(({ seed }) => seed === thinking[0]?.seed)).toEqual([true, false, false, true, false]);
    const answers = asked.filter(({ prompt }) => prompt.includes('</think>'));
    expect(new Set([...thinking.slice(0, 3), ...answers].map(({ seed }) => seed)).size).toBe(7);
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
    const tooLong = await serving((asked) => ({ ...scripted(asked), tokens: 999, reason: 'stop' }));
    const [long] = (await run(tooLong.url, { sweep: { thinkingTokens: [4] } })).rows('generations');
    expect(long?.finish_disputed).toContain('999 of 4');
    expect(long?.thinking_tokens).toBe(4);
  });

  it("holds maxima by the server's own parameter where it has one, and counts what it does not keep", async () => {
    const budgets: number[] = [];
    const { url, asked } = await serving(scripted, 200, ({ thinking_budget_tokens: budget }) => {
      budgets.push(budget);
      // It keeps a budget of 8, and forgets one of 64.
      const thinking = budget === 64 ? 'x'.repeat(90) : 'abcdefghijklmnopqrst'.slice(0, budget);
      return { thinking, answer: 'It is 42.', reason: 'stop' };
    });
    const rows = (await run(url, { sweep: { thinkingTokens: [8, 32, 64] } })).rows('generations');
    expect(budgets.slice(1)).toEqual([8, 32, 64]);
    expect(asked).toEqual([]);
    expect(rows.map((row) => [row.thinking_tokens, row.thinking_end, row.answer_tokens, row.finish_disputed])).toEqual([
      [8, 'forced', 9, null],
      [20, 'natural', 9, null],
      [90, 'forced', 9, '90 thinking tokens under a budget of 64'],
    ]);
    expect(rows.map((row) => row.budget_held_by)).toEqual(['server', 'server', 'server']);
    expect(rows[0]?.interventions).toMatchObject([{ kind: 'ended', position: 8, character_offset: 8 }]);
  });

  it('goes back to continuation where the server ignores its parameter or thinking is made longer', async () => {
    const ignoring = ({ max_tokens }: AskedChat) => ({
      thinking: 'x'.repeat(max_tokens),
      answer: '',
      reason: 'length',
    });
    const { url } = await serving(scripted, 200, ignoring);
    const held = async (options: object) => (await run(url, options)).rows('generations')[0]?.budget_held_by;
    expect(await held({ sweep: { thinkingTokens: [8] } })).toBe('continuation');
    const able = await serving(scripted, 200, () => ({ thinking: 'a', answer: 'b', reason: 'stop' }));
    const waited = await run(able.url, { sweep: { thinkingTokens: [100], ignore: [1] } });
    expect(waited.rows('generations')[1]).toMatchObject({ budget_held_by: 'continuation', thinking_tokens: 20 });
  });

  it('says what is missing where the server has to hold the budgets and cannot', async () => {
    const { url } = await serving(scripted, 200, () => ({ answer: 'It is 42.', reason: 'stop' }));
    const refused = run(url, { sweep: { thinkingTokens: [8] }, budgets: 'server' });
    await expect(refused).rejects.toMatchObject({
      code: 'endpoint_cannot',
      message: expect.stringContaining('does not tell thinking from answer'),
      hint: expect.stringContaining('--chat-template-file'),
    });
    const options = { url, model: 'm', budgets: 'server', sweep: { ignore: [1] } };
    const parsed = openAiCompatible.options.parse(options);
    const problems = await openAiCompatible.check?.(parsed, { recipeFolder: '.' });
    expect(problems?.map(({ code }) => code)).toEqual(['server_cannot_extend']);
  });

  it('needs a price where dollars are limited, if only zeros', async () => {
    const codes = async (more: object) => {
      const options = openAiCompatible.options.parse({ url: 'http://localhost:1/v1', model: 'm', ...more });
      const problems = await openAiCompatible.check?.(options, { recipeFolder: '.', isUsdLimited: true });
      return problems?.map(({ code }) => code);
    };
    expect(await codes({})).toEqual(['price_missing']);
    expect(await codes({ price: { inputPerMillion: 0, outputPerMillion: 0 } })).toEqual([]);
  });

  it('names a server that cannot continue text', async () => {
    const { url } = await serving(scripted, 404);
    await expect(run(url, {})).rejects.toMatchObject({ code: 'endpoint_cannot' });
  });

  it('asks again for no sample that was finished, only for those that were in flight', async () => {
    const both = memoryTable({ id: 'VARCHAR', question: 'VARCHAR' }, [
      { id: 'a', question: 'Why?' },
      { id: 'b', question: 'Who?' },
    ]);
    const scratchFolder = await temporaryFolder();
    const attempt = (url: string) =>
      runStage(openAiCompatible, {
        options: { url, model: 'm', thinkingFormat: 'r1', concurrency: 1, retries: 0, sweep: { thinkingTokens: [4] } },
        inputs: { dataset: both },
        scratchFolder,
      });
    const dying = await serving((asked) => {
      if (asked.prompt.includes('Who?')) server.closeAllConnections();
      return scripted(asked);
    });
    await expect(attempt(dying.url)).rejects.toMatchObject({ code: 'endpoint_unreachable' });
    expect(dying.asked.some(({ prompt }) => prompt.includes('Why?'))).toBe(true);
    const back = await serving(scripted);
    const rows = (await attempt(back.url)).rows('generations');
    expect(back.asked.length).toBeGreaterThan(0);
    expect(back.asked.filter(({ prompt }) => !prompt.includes('Who?'))).toEqual([]);
    expect(rows.map((row) => [row.id, row.thinking])).toEqual([
      ['a/4/0', 'abcd'],
      ['b/4/0', 'abcd'],
    ]);
  });

  describe('a later run, with other problems or more samples', () => {
    let scratchFolder: string;
    beforeEach(async () => {
      scratchFolder = await temporaryFolder();
    });

    const sweep = { thinkingTokens: [4] };
    const price = { inputPerMillion: 0, outputPerMillion: 1 };
    /** @param key stands for the inputs and options: each is another run of the stage */
    const again = (
      key: string,
      url: string,
      problems: Readonly<Record<string, string>>,
      samples: number,
      { history = [], ...more }: { readonly history?: readonly object[]; readonly [option: string]: unknown } = {},
    ) =>
      runStage(openAiCompatible, {
        options: {
          url,
          model: 'm',
          thinkingFormat: 'r1',
          price,
          sweep,
          sampling: { temperature: 1, samples },
          ...more,
        },
        inputs: {
          dataset: memoryTable(
            { id: 'VARCHAR', question: 'VARCHAR', history: 'STRUCT("role" VARCHAR, content VARCHAR)[]' },
            Object.entries(problems).map(([id, question]) => ({ id, question, history })),
          ),
        },
        scratchFolder,
        key,
      });
    /** Samples that were asked for since then: a thought and an answer each. */
    const asking = async (asked: readonly Asked[], work: () => ReturnType<typeof again>) => {
      const before = asked.length;
      const { rows, logged } = await work();
      return { samples: (asked.length - before) / 2, rows: rows('generations'), logged };
    };

    it('asks a server only for the samples that no run has paid for', async () => {
      const { url, asked } = await serving(scripted);
      const first = await asking(asked, () => again('first', url, { a: 'Why?', b: 'Who?' }, 2));
      const second = await asking(asked, () => again('second', url, { a: 'Why?', c: 'How?' }, 3));
      expect([first.samples, second.samples]).toEqual([4, 1 + 3]);
      expect(second.rows.slice(0, 2)).toEqual(first.rows.slice(0, 2));
      expect(second.rows.map(({ id }) => id)).toEqual(['a/4/0', 'a/4/1', 'a/4/2', 'c/4/0', 'c/4/1', 'c/4/2']);
      expect(second.logged.map(({ message }) => message)).toContainEqual(
        expect.stringMatching(/^Paid for by earlier runs .*: 2 samples\.$/),
      );
      // Fewer are no more than were asked for.
      const third = await asking(asked, () => again('third', url, { a: 'Why?' }, 1));
      expect([third.samples, third.rows.length]).toEqual([0, 1]);
    });

    it('takes over those of a server that is not said to be free', async () => {
      const { url, asked } = await serving(scripted);
      await again('first', url, { a: 'Why?' }, 1, { price: undefined });
      expect((await asking(asked, () => again('second', url, { a: 'Why?' }, 2, { price: undefined }))).samples).toBe(1);
    });

    it('keeps no reply that cannot be read: a server that was mended is asked again', async () => {
      let isMended = false;
      const broken = { tokens: 1, reason: 'stop' } as Said;
      const { url } = await serving((asked) => (isMended ? scripted(asked) : broken));
      const answered = () => again('first', url, { a: 'Why?' }, 1);
      await expect(answered()).rejects.toMatchObject({ code: 'endpoint_cannot' });
      isMended = true;
      expect((await answered()).rows('generations')).toHaveLength(1);
    });

    it('is planned with what it has already', async () => {
      const { url } = await serving(scripted);
      await again('first', url, { a: 'Why?' }, 2);
      const [digest = ''] = await readdir(join(scratchFolder, 'kept'));
      const folder = join(scratchFolder, 'kept', digest, 'first');
      const planned = (kept: KeptFolders, samples: number) => {
        const options = { url, model: 'm', thinkingFormat: 'r1', price, sweep, sampling: { temperature: 1, samples } };
        const around = { inputs: { dataset: { rows: 1 } }, kept: async () => kept } as unknown as StageEstimateContext;
        return openAiCompatible.estimate?.(openAiCompatible.options.parse(options), around);
      };
      const [whole, rest] = [await planned({ others: [] }, 4), await planned({ own: folder, others: [] }, 4)];
      expect(rest?.usd).toBeCloseTo((whole?.usd ?? 0) / 2);
      expect(rest?.notes?.[0]).toBe('Of 4 samples 2 are there already, and are not asked for again.');
      expect((await planned({ others: [folder] }, 4))?.notes?.[0]).toContain('earlier runs were paid for');
    });

    it.each([
      ['another question of the same id', { a: 'Whence?' }, {}],
      ['the same question behind other turns', { a: 'Why?' }, { history: [{ role: 'user', content: 'Hello.' }] }],
      ['another model', { a: 'Why?' }, { model: 'n' }],
      ['another sweep', { a: 'Why?' }, { sweep: { thinkingTokens: [5] } }],
      ['a system message', { a: 'Why?' }, { systemMessage: 'Be brief.' }],
      ['what is said to cost nothing', { a: 'Why?' }, { price: { inputPerMillion: 0, outputPerMillion: 0 } }],
    ])('asks again for %s', async (_, problems, more) => {
      const { url, asked } = await serving(scripted);
      await again('first', url, { a: 'Why?' }, 1);
      expect((await asking(asked, () => again('second', url, problems, 1, more))).samples).toBe(1);
    });

    it('passes over a file beside the folders of the others, as a file manager leaves one', async () => {
      const { url, asked } = await serving(scripted);
      await again('first', url, { a: 'Why?' }, 1);
      const [digest = ''] = await readdir(join(scratchFolder, 'kept'));
      await writeFile(join(scratchFolder, 'kept', digest, '.DS_Store'), '');
      expect((await asking(asked, () => again('second', url, { a: 'Why?' }, 2))).samples).toBe(1);
    });

    it('takes over the draws of rejection sampling', async () => {
      const { url, asked } = await serving(scripted);
      const rejection = { sweep: { thinkingTokens: [], rejection: { thinkingTokens: [100], attempts: 2 } } };
      await again('first', url, { a: 'Why?' }, 2, rejection);
      const second = await asking(asked, () => again('second', url, { a: 'Why?' }, 3, rejection));
      expect([second.samples, second.rows.length]).toEqual([1, 3]);
      expect((await asking(asked, () => again('third', url, { a: 'Why?' }, 1, rejection))).rows).toHaveLength(1);
    });
  });

  it('names a server that is not there', async () => {
    const { url } = await serving(scripted);
    await server[Symbol.asyncDispose]();
    await expect(run(url, { retries: 0 })).rejects.toMatchObject({ code: 'endpoint_unreachable' });
  });
});
