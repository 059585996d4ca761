import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { Event } from '../../core/events/catalogue.js';
import { RunHarness } from '../../core/testing/run-harness.js';
import { eventsIn, type RunningSimmer, simmer, startSimmer, workFolder } from './cli-process.js';

const execFileAsync = promisify(execFile);

/** What all its threads took. */
async function processorSeconds({ child }: RunningSimmer): Promise<number> {
  const { stdout } = await execFileAsync('ps', ['-o', 'time=', '-p', String(child.pid)]);
  return stdout.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** Rows for several threads with several shares each. */
const recipe = `
name: threads
seed: 5
stages:
  problems: { uses: curation/generate-problems, with: { count: 20000 } }
  evaluation: { uses: curation/generate-problems, with: { count: 50 } }
  unique:
    uses: curation/deduplicate
    with: { dataset: "\${{ stages.problems.dataset }}", column: [question, reasoning], near: { similarity: 0.9 } }
  clean:
    uses: curation/decontaminate
    with: { dataset: "\${{ stages.unique.dataset }}", against: ["\${{ stages.evaluation.dataset }}"], words: 12 }
`;

/** A file that several threads read. */
const loading = `  loaded: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  sound: { uses: curation/quality, with: { dataset: "\${{ stages.loaded.dataset }}" } }
`;

it('what threads make is what one thread makes, byte for byte', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'threads.yaml');
  const whole = recipe + loading;
  await writeFile(file, whole);
  const words = 'words of a question '.repeat(200);
  const lines = Array.from({ length: 10_000 }, (_, at) => `${JSON.stringify({ question: `${at}: ${words}` })}\n`);
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), lines.join(''));
  // The sources run in one thread; what was built starts as many as there are cores.
  const { outcome } = await harness.run(whole);
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome));
  const args = ['run', file, '--home', join(harness.recipeFolder, 'other'), '--json'];
  const { stdout } = await startSimmer(args, { cwd: harness.recipeFolder }).ended;
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Event;
  expect(last).toMatchObject({ type: 'run.completed', data: { outputs: outcome.outputs } });
});

it('threads end at once where a run is told to stop, and a resume does their stage again', async () => {
  await using folder = await workFolder();
  await folder.write('threads.yaml', recipe);
  const run = startSimmer(['run', 'threads.yaml', '--json'], { cwd: folder.path });
  await run.printed('"type":"stage.started","stage":"unique"');
  run.child.kill('SIGINT');
  const stopped = await run.ended;
  expect(stopped.code).toBe(130);
  const events = eventsIn(stopped.stdout);
  expect(events.at(-1)?.type).toBe('run.interrupted');
  expect(events.find(({ type }) => type === 'stage.interrupted')?.stage).toBe('unique');
  const resumed = await simmer(['resume', 'latest', '--json'], { cwd: folder.path });
  const told = eventsIn(resumed.stdout);
  expect(told.at(-1)?.type).toBe('run.completed');
  expect(told.flatMap(({ type, stage }) => (type === 'stage.started' ? [stage] : []))).toEqual(['unique', 'clean']);
});

it.each([
  [
    'load',
    `{ uses: curation/load, with: { sources: { pool: { path: pool.jsonl, where: { question: '(^(a+)+$)' } } } } }`,
  ],
  [
    'quality',
    `{ uses: curation/quality, with: { dataset: "\${{ stages.problems.dataset }}", drop: [{ rule: r, column: answer, pattern: '(^(a+)+$)' }] } }`,
  ],
])(
  'a pattern that never ends, in %s, holds up nothing: the run still stops',
  async (_name, stage) => {
    await using folder = await workFolder();
    const question = `${'a'.repeat(60)}!`;
    // Behind it there are so many that more of them are read while the first ones are looked at.
    const lines = Array.from({ length: 10_000 }, (_, at) => {
      const answer = at === 0 ? question : `${at}`;
      return `${JSON.stringify({ question: answer, answer })}\n`;
    });
    await folder.write('pool.jsonl', lines.join(''));
    const problems = `{ uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }`;
    await folder.write('endless.yaml', `name: endless\nstages:\n  problems: ${problems}\n  matched: ${stage}\n`);
    await expectToStop(folder.path);
  },
  300_000,
);

it("a tokenizer's pattern that never ends holds up nothing, however few the rows: the run still stops", async () => {
  await using folder = await workFolder();
  const split = { type: 'Split', pattern: { Regex: '^(a+)+$' }, behavior: 'Isolated', invert: false };
  const header = Buffer.from(JSON.stringify({ w: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const files = {
    'config.json': JSON.stringify({ model_type: 'llama', architectures: ['LlamaForCausalLM'] }),
    'tokenizer.json': JSON.stringify({
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: split,
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    }),
    'tokenizer_config.json': '{"tokenizer_class": "PreTrainedTokenizerFast"}',
    'model.safetensors': Buffer.concat([size, header, Buffer.alloc(4)]),
    'pool.jsonl': `${JSON.stringify({ question: `${'a'.repeat(60)}!`, answer: '1' })}\n`,
  };
  await mkdir(join(folder.path, 'model'));
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder.path, name === 'pool.jsonl' ? '' : 'model', name), content);
  await folder.write(
    'endless.yaml',
    `name: endless
trainers:
  student: { uses: torch-trainer/torch }
stages:
  base: { uses: torch-trainer/base-model, with: { trainer: student, source: model } }
  problems: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  matched:
    uses: curation/tokens
    with: { dataset: "\${{ stages.problems.dataset }}", model: "\${{ stages.base.model }}", column: question }
`,
  );
  await expectToStop(folder.path);
}, 300_000);

/** Runs `endless.yaml`, and stops the run when its stage `matched` is at what never ends. */
async function expectToStop(cwd: string): Promise<void> {
  const run = startSimmer(['run', 'endless.yaml', '--json'], { cwd });
  await run.printed('"type":"stage.started","stage":"matched"');
  const before = await processorSeconds(run);
  // Only the pattern takes that long, and as long as it is let.
  await expect.poll(() => processorSeconds(run)).toBeGreaterThan(before + 2);
  run.child.kill('SIGINT');
  const { code, stdout } = await run.ended;
  expect([code, eventsIn(stdout).at(-1)?.type]).toEqual([130, 'run.interrupted']);
}
