import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';

const megabytes = 10;
const huge = 'lorem ipsum '.repeat((megabytes * 1024 * 1024) / 12);
/** Texts that have broken tools: each must come out as it went in, or be dropped by a rule that says why. */
const texts: Readonly<Record<string, string>> = {
  emoji: 'How many 👩‍👩‍👧‍👦 fit into 🚗🏳️‍🌈?',
  rightToLeft: 'כמה זה 2 + 2? ‏(‎مرحبا‎)',
  combining: 'Is e\u0301 the same as \u00e9? Z\u0351\u036b\u0343\u0300a\u0334l\u0335go',
  astral: '𝒇(𝒙) = 𝟐𝒙 + 𝟏, 𠜎𠜱',
  chinese: '小明有三个苹果，又买了两个。现在有几个？',
  control: 'a\u0000b\u0007c\u001f d\u007f\ufeff',
  lines: 'one\r\ntwo\u2028three\u2029four\tfive',
  quotes: `"$&" \\n \${{ stages.pool.dataset }} {question} {answer} \`x\` '' <think></think>`,
  prototype: '__proto__ constructor toString hasOwnProperty valueOf',
  short: 'x',
  huge,
  hugeWithoutSpaces: '数'.repeat((megabytes * 1024 * 1024) / 3),
};

const recipe = (url: string) => `
name: odd
seed: 1
stages:
  pool:
    uses: curation/load
    with:
      sources: { odd: { path: data/odd.jsonl, fields: { domain: { field: domain } } } }
      missing: drop
  sound:
    uses: curation/quality
    with:
      dataset: "\${{ stages.pool.dataset }}"
      drop: [{ rule: never, pattern: "^never$" }]
      length: { question: { max: 100000000 } }
      repetition: [{ column: reasoning, words: 10, maximumShare: 1 }]
      language: { allowed: [eng], tolerance: 0 }
  unique: { uses: curation/deduplicate, with: { dataset: "\${{ stages.sound.dataset }}", near: {} } }
  clean:
    uses: curation/decontaminate
    with: { dataset: "\${{ stages.unique.dataset }}", against: ["\${{ stages.evaluation.dataset }}"], acrossSources: true }
  evaluation: { uses: curation/generate-problems, with: { count: 5 } }
  domains: { uses: curation/classify, with: { dataset: "\${{ stages.clean.dataset }}", fromColumn: domain } }
  traces:
    uses: curation/distill
    with: { dataset: "\${{ stages.domains.dataset }}", url: "${url}", model: echo, concurrency: 2 }
  selected: { uses: curation/select, with: { dataset: "\${{ stages.domains.dataset }}", method: s1, count: 100 } }
  mixed: { uses: curation/mix, with: { datasets: ["\${{ stages.selected.dataset }}"], order: even } }
  sides: { uses: curation/split, with: { dataset: "\${{ stages.mixed.dataset }}", heldout: 1 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.mixed.dataset }}", preset: r1 } }
`;

let harness: RunHarness;
let server: HttpServer;
beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [fakeTrainerPlugin], withBuiltIn: true });
  // A teacher that says what it was asked.
  server = await startChatServer(({ messages }) => {
    const content = messages.at(-1)?.content ?? '';
    return { choices: [{ finish_reason: 'stop', message: { content, reasoning_content: 'Asked.' } }] };
  });
  await mkdir(join(harness.recipeFolder, 'data'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await harness[Symbol.asyncDispose]();
});

it('rows of any text, of nothing and of 10 MB pass through every step unchanged', async () => {
  const rows = Object.entries(texts).map(([name, question]) => ({
    question,
    // Traces and domains are as odd as questions, but for two of 10 MB in one row.
    reasoning: question.length > 1000 ? 'short' : `${question} so 4`,
    answer: '4',
    domain: question.length > 1000 ? '__proto__' : name,
  }));
  const empty = [{ question: '' }, { question: ' \n\t' }, { question: null }, {}];
  const lines = [...rows, ...empty, rows[0]].map((row) => JSON.stringify(row));
  await writeFile(join(harness.recipeFolder, 'data/odd.jsonl'), lines.join('\r\n'));
  const run = await harness.run(recipe(server.url));
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const funnel = Object.fromEntries(run.eventsOf('funnel.counted').map(({ data }) => [data.step, data]));
  expect(funnel.pool).toMatchObject({ rowsIn: rows.length + 5, rowsOut: rows.length + 1, dropped: { no_question: 4 } });
  expect(funnel.unique).toMatchObject({ rowsIn: rows.length + 1, rowsOut: rows.length, dropped: { duplicate: 1 } });
  expect(funnel.clean).toMatchObject({ rowsOut: rows.length });
  for (const name of ['domains', 'mixed']) {
    const questions = new Set((await run.rows(`${name}.dataset`)).map((row) => row.question));
    const changed = Object.entries(texts).filter(([, question]) => !questions.has(question));
    expect([name, changed.map(([text]) => text), questions.size]).toEqual([name, [], rows.length]);
  }
  expect((await run.rows('domains.dataset')).map((row) => row.domain)).toEqual(rows.map((row) => row.domain));
  const traces = await run.rows('traces.dataset');
  expect(traces).toHaveLength(rows.length);
  expect(traces.filter((row) => row.answer !== String(row.question).trim())).toHaveLength(0);
  const formatted = await run.rows('formatted.dataset');
  const prompts = formatted.map((row) => (row.prompt as readonly { readonly content: string }[])[0]?.content);
  expect(prompts).toHaveLength(rows.length);
  const asked = new Set(Object.values(texts).map((text) => text.trim()));
  expect(prompts.filter((prompt) => !asked.has(prompt ?? ''))).toHaveLength(0);
});
