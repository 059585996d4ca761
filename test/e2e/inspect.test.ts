import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventsIn, simmer, trainingPlugins, trainingRecipe, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  for (const [name, text] of Object.entries(trainingPlugins)) await folder.write(name, text);
  const downstream = '  look: { uses: tiny/model }\n';
  await folder.write('training.yaml', trainingRecipe + downstream);
});
afterAll(() => folder[Symbol.asyncDispose]());

const inspect = (...args: readonly string[]) => simmer(['inspect', 'training.yaml', ...args], { cwd });

it('marks what is trained, and runs what is before the stage and nothing else', async () => {
  const { code, stdout, stderr } = await inspect('--stage', 'tuned', '--rows', '0,2');
  expect(stderr).toContain('tuned: done');
  expect(stderr).not.toContain('look');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^row 0: \d+ tokens, \d+ trained\n[^⟦]+⟦[^⟧]+⟧\n\nrow 2: /);
});

it('shows a chat of several turns whole, and its last reply alone as trained', async () => {
  const contents = ['Briefly.', 'Hello', 'Hi', 'Why?', 'Because'];
  const roles = ['system', 'user', 'assistant', 'user', 'assistant'];
  const messages = contents.map((content, index) => ({ role: roles[index], content }));
  await folder.write('chats.jsonl', JSON.stringify({ messages }));
  const recipe = trainingRecipe
    .replace(
      'curation/generate-problems, with: { count: 100 }',
      'curation/load, with: { sources: { chats: { path: chats.jsonl, layout: messages, history: true } } }',
    )
    .replace('curation/format, with: {', 'curation/format, with: { preset: chat,');
  await folder.write('chats.yaml', recipe);
  const { stdout } = await simmer(['inspect', 'chats.yaml', '--stage', 'tuned'], { cwd });
  const [seen, trained] = stdout.split('⟦');
  expect(seen).toMatch(/Briefly\.[\s\S]*Hello[\s\S]*Hi[\s\S]*Why\?/);
  expect(trained).toMatch(/^Because<\|im_end\|>⟧\n/);
});

it('gives the tokens and the mask as JSON', async () => {
  const { stdout } = await inspect('--stage', 'tuned', '--rows', '1', '--json');
  const { rows } = JSON.parse(stdout);
  expect(rows).toHaveLength(1);
  expect(rows[0]).toMatchObject({ row: 1, truncated: false });
  expect(rows[0].trained).toHaveLength(rows[0].tokens.length);
  expect(rows[0].trained.indexOf(true)).toBeGreaterThan(0);
  expect(rows[0].trained.at(-1)).toBe(true);
});

it('leaves the latest run to be the one before it', async () => {
  const home = ['--home', 'latest'];
  await inspect('--stage', 'tuned', '--rows', '0', ...home);
  const alone = await simmer(['resume', 'latest', ...home], { cwd });
  expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining('There is no run yet, only inspections')]);
  const run = await simmer(['run', 'training.yaml', '--json', ...home], { cwd });
  const { runId } = eventsIn(run.stdout)[0]!;
  await inspect('--stage', 'tuned', '--rows', '1', ...home);
  const latest = await simmer(['resume', 'latest', '--json', ...home], { cwd });
  expect(eventsIn(latest.stdout).map((event) => event.runId)).toEqual([runId]);
  const all = JSON.parse((await simmer(['runs', '--json', ...home], { cwd })).stdout);
  expect(all).toHaveLength(3);
});

it.each([
  ['a stage that is not there', ['--stage', 'tune'], 2, 'Did you mean "tuned"?'],
  ['a stage that trains nothing', ['--stage', 'pool'], 2, 'Training stages: tuned.'],
  ['rows beyond the end', ['--stage', 'tuned', '--rows', '5000'], 4, 'The training data has 100 rows.'],
  ['rows that are none', ['--stage', 'tuned', '--rows', 'a'], 2, 'whole numbers from 0'],
  ['no stage', [], 2, '--stage'],
])('refuses %s', async (_, args, expectedCode, text) => {
  const { code, stdout, stderr } = await inspect(...args);
  expect(stderr).toContain(text);
  expect(stdout).toBe('');
  expect(code).toBe(expectedCode);
});
