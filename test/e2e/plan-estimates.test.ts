import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startChatServer } from '../chat-server.js';
import { temporaryFolder } from '../temporary-folder.js';
import { simmer, workFolder } from './cli-process.js';

const cwd = fileURLToPath(new URL('../..', import.meta.url));

const half = ['--set', 'trainers.qwen.resources.gpus=8', '--set', 'trainers.qwen.resources.nodes=1'];

it("says that half of the GPUs of s1's training are too few, and how many are enough", async () => {
  const low = ['--set', 'budget.usd=100'];
  const { stdout, code } = await simmer(['plan', 'recipes/s1.yaml', ...half, ...low], { cwd });
  expect(code).toBe(0);
  expect(stdout).toMatch(/tuned +1h \d\dm +\$\d+\.\d\d +9\d\.\d GB of 80\.0 GB +does not fit/);
  expect(stdout).toContain('this machine has too few GPUs for tuned: to be run elsewhere\n');
  expect(stdout).toMatch(/gpus: 16 +saves \d+\.\d GB: 5\d\.\d GB, fits then/);
  expect(stdout).toContain('budget  $100.00\n');
  expect(stdout).toMatch(/The budget \(usd: 100\) may end it before/);
});

it('gives the same to programs, and takes the whole of the GPUs for enough', async () => {
  const { stdout } = await simmer(['plan', 'recipes/s1.yaml', '--json'], { cwd });
  const { estimates } = JSON.parse(stdout) as { estimates: { stage: string; fits?: boolean; seconds?: number }[] };
  const tuned = estimates.find(({ stage }) => stage === 'tuned');
  expect(tuned?.fits).toBe(true);
  expect(tuned?.seconds).toBeGreaterThan(26 * 60);
  expect(tuned?.seconds).toBeLessThan(60 * 60);
});

it('says how long each stage took in the last run of the recipe, and what that was', async () => {
  const folder = await temporaryFolder();
  const stages = 'stages: { problems: { uses: curation/generate-problems, with: { count: 5 } } }';
  await writeFile(join(folder, 'small.yaml'), `name: small\n${stages}\n`);
  const changed = ['plan', 'small.yaml', '--set', 'stages.problems.with.count=6'];
  expect((await simmer(changed, { cwd: folder })).stdout).not.toContain('last took');
  await simmer(['run', 'small.yaml'], { cwd: folder });
  const { stdout } = await simmer(changed, { cwd: folder });
  expect(stdout).toMatch(/1 +problems +curation\/generate-problems +miss +\d+\.\ds\* +1 core/);
  expect(stdout).toMatch(/last took: in small-\d{8}-\d{6}-[0-9a-f]{4}; \d+\.\ds one after the other/);
  expect(stdout).toMatch(/\n\* with other options than now: small-\S+\n/);

  await simmer(['run', ...changed.slice(1)], { cwd: folder });
  await rm(join(folder, '.simmer/cache'), { recursive: true });
  expect((await simmer(['plan', 'small.yaml'], { cwd: folder })).stdout).not.toContain('*');
  const { stdout: other } = await simmer([...changed.slice(0, -1), 'stages.problems.with.count=7'], { cwd: folder });
  expect(other).toMatch(/\* with other options than now: small-\S+ --set stages\.problems\.with\.count=6\n/);
});

it('says what is answered already, of a stage that stopped midway and of one with more rows', async () => {
  await using server = await startChatServer(() => ({
    choices: [{ finish_reason: 'stop', message: { content: '4', reasoning_content: 'two and two' } }],
    usage: { prompt_tokens: 0, completion_tokens: 100 },
  }));
  await using folder = await workFolder();
  const cwd = folder.path;
  const pool = (count: number) =>
    Array.from({ length: count }, (_, index) => JSON.stringify({ question: `What is q${index}?` })).join('\n');
  await folder.write('pool.jsonl', pool(10));
  await folder.write(
    'asked.yaml',
    `
name: asked
stages:
  pool: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  asked:
    uses: curation/distill
    with:
      dataset: "\${{ stages.pool.dataset }}"
      url: ${server.url}
      model: teacher
      maxTokens: 100
      concurrency: 1
      price: { inputPerMillion: 0, outputPerMillion: 10000 }
      maxDollars: 4
`,
  );
  const stopped = await simmer(['run', 'asked.yaml', '--json'], { cwd });
  expect(stopped.stderr).toContain('spending_cap_reached');
  expect(stopped.stderr).toContain('Once mended in the recipe: simmer run again, which does nothing twice;');
  const more = ['plan', 'asked.yaml', '--set', 'stages.asked.with.maxDollars=20'];
  const { stdout } = await simmer(more, { cwd });
  expect(stdout).toContain('asked: Of at most 10 questions 4 are answered already, and are not asked again.');
  expect(stdout).toMatch(/asked +unknown +at most \$6\.00/);

  await folder.write('pool.jsonl', pool(12));
  const larger = await simmer([...more, '--set', 'stages.pool.expect={ dataset: { rows: 12 } }'], { cwd });
  expect(larger.stdout).toContain(
    'asked: What earlier runs were answered to the same questions is not paid for again.',
  );
  expect(larger.stdout).toMatch(/asked +unknown +at most \$12\.00/);
});

it('shows published runs beside what it says of them', async () => {
  const { stdout } = await simmer(['plan', '--calibration'], { cwd });
  expect(stdout).toMatch(/s1-32B, 16 H100.* held out +29\.7 +26 +1\.14 +minutes/);
  expect(stdout).toContain('fit: mosaicml/llm-foundry');
});
