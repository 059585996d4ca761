import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { checkNames, RunHarness, type Verification } from 'simmerkit/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { checkPython, root } from '../python/check-python.js';
import { trainerPython } from '../python/trainer-script.js';
import { sharedFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';

const run = promisify(execFile);

/** `simmer trainer verify --json -- COMMAND`. */
async function verify(command: readonly string[], env: NodeJS.ProcessEnv): Promise<Verification> {
  const program = builtModule('core/cli/main.ts');
  const args = [program, 'trainer', 'verify', '--json', '--patience', '60', '--', ...command];
  const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env }, maxBuffer: 2 ** 24 }).catch(
    (error: { stdout: string }) => error,
  );
  return JSON.parse(stdout) as Verification;
}

const failed = ({ results }: Verification) =>
  results.filter(({ status }) => status !== 'passed' && status !== 'notDeclared');

/** The folder of a model of the example's: each byte is as likely as any other. */
async function untrainedTable(folder: string): Promise<string> {
  const bytes = 256 * 256 * 4;
  const header = JSON.stringify({ logits: { dtype: 'F32', shape: [256, 256], data_offsets: [0, bytes] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const model = join(folder, 'untrained');
  await mkdir(model);
  await writeFile(join(model, 'model.safetensors'), Buffer.concat([length, Buffer.from(header), Buffer.alloc(bytes)]));
  await writeFile(join(model, 'config.json'), '{"model_type": "bigram"}');
  await writeFile(join(model, 'tokenizer.json'), '{}');
  return model;
}

describe('the trainer of the guide', () => {
  const stubs = sharedFolder();
  beforeAll(async () => {
    const { python } = await checkPython('stubs', join(root, 'plugins/torch-trainer/stubs.lock.txt'));
    const out = [`--python_out=${stubs}`, `--grpc_python_out=${stubs}`];
    const proto = 'proto/simmer/trainer/v1/trainer.proto';
    await run(python, ['-m', 'grpc_tools.protoc', '-I', 'proto', ...out, proto], { cwd: root });
  });
  afterEach(() => vi.unstubAllEnvs());

  it('keeps the contract in all that it declares', async () => {
    const { python } = await trainerPython();
    const verification = await verify([python, join(root, 'docs/examples/trainer/trainer.py')], { PYTHONPATH: stubs });
    expect(failed(verification)).toEqual([]);
    expect(verification.trainer).toEqual({ name: 'bigram-trainer', version: '1.0', capabilities: ['train'] });
    expect(verification.results.map(({ name }) => name)).toEqual(checkNames);
    expect(verification.results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(20);
    expect(verification.results.find(({ name }) => name === 'evaluation')).toMatchObject({
      status: 'passed',
      saw: 'the trainer refuses evaluate_every_steps: this trainer does not evaluate.',
    });
  });

  const folder = join(root, 'docs/examples/trainer');

  async function harnessWithIt(): Promise<RunHarness> {
    const { python } = await trainerPython();
    vi.stubEnv('PATH', [dirname(python), process.env.PATH].join(delimiter));
    vi.stubEnv('PYTHONPATH', stubs);
    return RunHarness.create({ plugins: [], listedPlugins: [join(folder, 'plugin.js')], withBuiltIn: true });
  }

  it.each([
    ['calls', { tool_calls: [{ function: { name: 'now', arguments: {} } }] }, {}],
    ['definitions', {}, { tools: [{ type: 'function', function: { name: 'now' } }] }],
  ])('refuses rows with %s of tools, which it cannot write', async (_, reply, more) => {
    await using harness = await harnessWithIt();
    const messages = [
      { role: 'user', content: 'What time is it?' },
      { role: 'assistant', content: 'I look.', ...reply },
    ];
    await writeFile(join(harness.recipeFolder, 'chats.jsonl'), JSON.stringify({ messages, ...more }));
    const run = await harness.run(`
name: chats
trainers: { student: { uses: bigram/bigram } }
stages:
  base: { uses: torch-trainer/base-model, with: { source: ${await untrainedTable(harness.recipeFolder)} } }
  pool: { uses: curation/load, with: { sources: { chats: { path: chats.jsonl, layout: chat } } } }
  tuned:
    uses: sft/train
    with: { trainer: student, model: "\${{ stages.base.model }}", dataset: "\${{ stages.pool.dataset }}" }
`);
    const message = expect.stringContaining('has rows in which tools are called');
    expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'training_failed', message } });
  });

  it('is trained with by its recipe', async () => {
    await using harness = await harnessWithIt();
    const model = await untrainedTable(harness.recipeFolder);
    const written = await readFile(join(folder, 'recipe.yaml'), 'utf8');
    const run = await harness.run(written.replace('plugins:\n  - ./plugin.js\n', ''), { params: { model } });
    expect(run.outcome, JSON.stringify(run.outcome)).toMatchObject({ status: 'completed' });
    const losses = run.eventsOf('step.logged').map(({ data }) => data.loss ?? 0);
    expect(losses[0]).toBeCloseTo(Math.log(256), 3);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  });

  it('has its plugin in the guide as it stands in its file', async () => {
    const guide = await readFile(join(root, 'docs/writing-a-trainer.md'), 'utf8');
    expect(guide).toContain((await readFile(join(root, 'docs/examples/trainer/plugin.js'), 'utf8')).trim());
  });

  it('is tried by checks that have a line each in the guide, as they are printed', async () => {
    const guide = await readFile(join(root, 'docs/writing-a-trainer.md'), 'utf8');
    const named = [...guide.matchAll(/^\| `([a-z-]+)` +\| \S/gm)].map(([, name]) => name);
    expect(named).toEqual(checkNames);
  });
});

const isFull = process.env.CI_FULL === '1';
describe(`the torch trainer${isFull ? '' : ' (not run: it takes a minute or two, and CI_FULL=1 adds it)'}`, () => {
  it.skipIf(!isFull)(
    'keeps the whole contract',
    async () => {
      const { python, env } = await trainerPython();
      const verification = await verify([python, '-m', 'simmer_trainer'], { ...env, SIMMER_DEVICE: 'cpu' });
      expect(failed(verification)).toEqual([]);
      expect(verification.results.every(({ status }) => status === 'passed')).toBe(true);
    },
    600_000,
  );
});
