import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineGrader, definePlugin, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';

const graders = definePlugin({
  name: 'my-graders',
  version: '1.0.0',
  apiVersion: 1,
  graders: {
    'names-the-order': defineGrader({
      description: 'Never asked here.',
      options: z.strictObject({}),
      start: () => Promise.reject(new Error('never asked here')),
    }),
  },
});

it('plans the fine-tuning of chats in the README of sft, from their file to their grades', async () => {
  const readme = await readFile(new URL('../../plugins/sft/README.md', import.meta.url), 'utf8');
  const shown = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text ?? '').stages);
  const stages = shown.find(({ chats }) => chats !== undefined);
  const source = { random: { seed: 7, config: { model_type: 'llama' } } };
  const base = { uses: 'torch-trainer/base-model', with: { trainer: 'student', source } };
  await using harness = await RunHarness.create({ plugins: [graders], withBuiltIn: true });
  await mkdir(join(harness.recipeFolder, 'data'));
  await writeFile(join(harness.recipeFolder, 'data', 'chats.jsonl'), '{"messages": []}\n');
  const recipe = { name: 'chats', trainers: { student: { uses: 'torch-trainer/torch' } }, stages: { base, ...stages } };

  const plan = await harness.plan(stringify(recipe));
  const [tuned, graded] = ['tuned', 'graded'].map((name) => plan.stages.find((stage) => stage.name === name));
  expect(plan.stages).toHaveLength(9);
  expect(tuned?.options).toMatchObject({ method: 'lora', keepBest: true });
  expect(graded?.options).toMatchObject({ extraction: 'whole', grader: { uses: 'my-graders/names-the-order' } });
});
