import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { definePlugin, defineStage, z } from 'simmerkit';
import { fakeTrainerPlugin, type HarnessRun, RunHarness } from 'simmerkit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ArtifactStore } from '../../core/artifacts/artifact-store.js';
import { explainRow, type RowHistory } from '../../core/engine/past-runs/explain-row.js';
import curation from '../../plugins/curation/plugin.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';

type Stage = { readonly uses: string; readonly with?: Readonly<Record<string, unknown>> };
type Stages = Readonly<Record<string, Stage>>;

/** A model folder that the fake trainer takes for one, with a tokenizer of single characters. */
const models = definePlugin({
  name: 'models',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    base: defineStage({
      description: 'A folder with a tokenizer and nothing to compute with.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { model: { type: 'model', description: 'The model.' } },
      async run(context) {
        const folder = await context.artifacts.temporaryFolder();
        const vocab = Object.fromEntries(['<unk>', ...'abcdefghijklmnopqrstuvwxyz'].map((text, id) => [text, id]));
        const tokenizer = {
          version: '1.0',
          truncation: null,
          padding: null,
          added_tokens: [],
          normalizer: null,
          pre_tokenizer: { type: 'WhitespaceSplit' },
          post_processor: null,
          decoder: null,
          model: { type: 'BPE', vocab, merges: [], unk_token: '<unk>' },
        };
        await writeFile(join(folder, 'config.json'), '{"model_type": "llama"}');
        await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
        const turn = '<|im_start|>{{ message.role }}\\n{{ message.content }}<|im_end|>\\n';
        const template = { chat_template: `{% for message in messages %}${turn}{% endfor %}` };
        await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(template));
        await writeFile(join(folder, 'model.safetensors'), '');
        return { model: await context.artifacts.commitModel(folder) };
      },
    }),
  },
});

const of = (name: string, output = 'dataset') => `\${{ stages.${name}.${output} }}`;
/** What the examples take from stages that they do not show. */
const around: Stages = {
  base: { uses: 'models/base' },
  pool: { uses: 'curation/generate-problems', with: { count: 60 } },
  sound: { uses: 'curation/quality', with: { dataset: of('pool') } },
  unique: { uses: 'curation/deduplicate', with: { dataset: of('sound') } },
  selected: { uses: 'curation/select', with: { dataset: of('pool'), count: 20 } },
  traces: { uses: 'curation/distill', with: { dataset: of('pool'), url: 'http://any', model: 'teacher' } },
  samples: {
    uses: 'budget-forcing/generate',
    with: {
      trainer: 'student',
      model: of('base', 'model'),
      dataset: of('pool'),
      label: 'base',
      thinkingFormat: 's1',
      sweep: { thinkingTokens: [8] },
    },
  },
  graded: {
    uses: 'eval/grade',
    with: { generations: of('samples', 'generations'), dataset: of('pool'), grader: { uses: 'eval/exact' } },
  },
  domains: { uses: 'curation/classify', with: { dataset: of('pool'), fromColumn: 'source' } },
};

const readme = readFileSync(new URL('../../plugins/curation/README.md', import.meta.url), 'utf8');
/** Heading and stages of each example. */
const shown: (readonly [heading: string, stages: Stages])[] = [];
let heading = 'The first example';
for (const [, title, text] of readme.matchAll(/^## (.*)$|```yaml\n([\s\S]*?)```/gm)) {
  heading = title ?? heading;
  if (text !== undefined) shown.push([heading, (parse(text) as { readonly stages: Stages }).stages]);
}

let harness: RunHarness;
let server: HttpServer;
beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [fakeTrainerPlugin, models], withBuiltIn: true });
  server = await startChatServer(({ messages }) => {
    const asksForClass = messages.at(-1)?.content.startsWith('Which of these classes') === true;
    const message = asksForClass
      ? { content: 'Sums.\n11' }
      : { content: 'It is 12.', reasoning_content: 'Let me see.' };
    return { choices: [{ finish_reason: 'stop', message }], usage: { prompt_tokens: 9, completion_tokens: 9 } };
  });
  const data = join(harness.recipeFolder, 'data');
  await mkdir(join(data, 'math'), { recursive: true });
  const row = (index: number) =>
    JSON.stringify({ question: `How many, ${index}?`, answer: `It is <<1+1=2>>so.\n#### ${index}` });
  const problem = { problem: 'What is x?', solution: 'Well, 2.', answer: '2', subject: 'Algebra', level: '3' };
  await writeFile(join(data, 'gsm8k_train.jsonl'), [row(1), row(2)].join('\n'));
  await writeFile(join(data, 'gsm8k_test.jsonl'), row(3));
  const said = (role: string, content: string) => ({ role, content });
  const chat = [
    said('user', 'One and one?'),
    said('assistant', 'Two.'),
    said('user', 'And one?'),
    said('assistant', '3.'),
  ];
  await writeFile(join(data, 'chats.jsonl'), JSON.stringify({ messages: chat }));
  await writeFile(join(data, 'mine.csv'), 'prompt,answer\nHow many?,7\n"Why, then?",So.\n');
  await writeFile(join(data, 'math', 'a.jsonl.gz'), gzipSync(JSON.stringify(problem)));
  process.env.DEEPSEEK_API_KEY = 'a key for tests';
});
afterAll(async () => {
  delete process.env.DEEPSEEK_API_KEY;
  await server[Symbol.asyncDispose]();
  await harness[Symbol.asyncDispose]();
});

/** A whole recipe around the stages of an example: what they refer to is added, and networks are this machine. */
function recipeOf(stages: Stages): string {
  const all: Record<string, Stage> = { ...stages };
  for (let text = JSON.stringify(all), before = ''; text !== before; before = text, text = JSON.stringify(all)) {
    for (const [, name = ''] of text.matchAll(/stages\.(\w+)\./g)) {
      const stage = all[name] ?? around[name];
      if (stage === undefined) throw new Error(`nothing makes ${name}`);
      all[name] = stage;
    }
  }
  const text = JSON.stringify({
    name: 'example',
    seed: 3,
    trainers: { student: { uses: 'fake-trainer/fake' } },
    stages: all,
  });
  return stringify(
    JSON.parse(
      text
        .replace(/"url":"[^"]*"/g, `"url":${JSON.stringify(server.url)}`)
        .replace(/hf:\/\/datasets\/openai[^"]*/g, 'data/gsm8k_test.jsonl'),
    ),
  );
}

/** Every row that the first stage of the run made or dropped, explained. */
async function explained(run: HarnessRun): Promise<readonly RowHistory[]> {
  const pool = [...(await run.rows('pool.dataset'))].slice(0, 12);
  const store = await ArtifactStore.open(harness.home);
  return await Promise.all(pool.map((row) => explainRow(run, String(row.id), store)));
}

describe('the examples of the README of curation', () => {
  it('show every stage', () => {
    const used = new Set(shown.flatMap(([, stages]) => Object.values(stages).map(({ uses }) => uses)));
    expect(Object.keys(curation.stages ?? {}).filter((name) => !used.has(`curation/${name}`))).toEqual([]);
  });

  it.each(shown)('%s: runs as it stands, and explains every row', async (_, stages) => {
    const recipe = recipeOf(stages);
    const run = await harness.run(recipe);
    expect(run.outcome).toMatchObject({ status: 'completed' });
    for (const { data } of run.eventsOf('funnel.counted')) {
      const lost = Object.values(data.dropped).reduce((sum, count) => sum + count, 0);
      // A mix may take a row more than once.
      if (stages[data.step]?.with?.whenEmpty !== 'repeat')
        expect([data.step, data.rowsOut]).toEqual([data.step, data.rowsIn - lost]);
    }
    for (const { steps, id } of await explained(run)) {
      const last = steps.at(-1);
      // In an output of the last stage that had it, or dropped by a rule. What was graded goes on by ids of samples.
      expect([id, last?.outcome]).toEqual([id, expect.stringMatching(/^(seen|kept|dropped|graded)$/)]);
      if (last?.outcome === 'dropped') expect(last.decisions.map(({ rule }) => rule)).not.toContain(null);
    }
  });
});
