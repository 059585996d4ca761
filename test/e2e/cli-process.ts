import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Event } from '../../core/events/catalogue.js';
import { builtModule } from '../integration/built-module.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `simmer` that runs. */
export interface RunningSimmer {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with what it printed so far on stdout, as soon as the text is in it; rejects if it ends before. */
  printed(text: string): Promise<string>;
}

interface SimmerOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the built command line. @throws where it is not built, or older than its source */
export function startSimmer(args: readonly string[], { cwd, env = {} }: SimmerOptions): RunningSimmer {
  const { NO_COLOR, FORCE_COLOR, SIMMER_HOME, ...inherited } = process.env;
  const child = spawn(process.execPath, [builtModule('core/cli/main.ts'), ...args], {
    cwd,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const printed = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        if (!stdout.includes(text)) return;
        child.stdout.off('data', look);
        resolve(stdout);
      };
      child.stdout.on('data', look);
      void ended.then((end) => reject(new Error(`It ended without "${text}": ${JSON.stringify(end)}`)));
      look();
    });
  return { child, ended, printed };
}

/** Runs the built command line to its end. */
export function simmer(args: readonly string[], options: SimmerOptions): Promise<Ended> {
  return startSimmer(args, options).ended;
}

/** Runs a shell line in which `$SIMMER` is the command. */
export function shell(line: string, { cwd, env = {} }: SimmerOptions): Promise<Ended> {
  return new Promise((resolve) => {
    const command = `"${process.execPath}" "${builtModule('core/cli/main.ts')}"`;
    const child = spawn('bash', ['-c', `set -o pipefail; simmer() { ${command} "$@"; }; ${line}`], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
      });
    }
    child.once('close', (code, signal) => resolve({ code, signal, ...output }));
  });
}

/** Runs the command on a terminal of this size, by Python's pty; stdout and stderr are one there. */
export function onTerminal(
  args: readonly string[],
  size: { readonly columns: number; readonly rows: number },
  { cwd }: SimmerOptions,
) {
  const script = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
  const command = `stty cols ${size.columns} rows ${size.rows}; exec "$0" "$@"`;
  const simmerCommand = [process.execPath, builtModule('core/cli/main.ts'), ...args];
  return new Promise<Ended>((resolve) => {
    const { NO_COLOR, FORCE_COLOR, CI, ...inherited } = process.env;
    const child = spawn('python3', ['-c', script, 'bash', '-c', command, ...simmerCommand], {
      cwd,
      env: { ...inherited, TERM: 'xterm-256color' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr: '' }));
  });
}

/** Every line of the text as an event. @throws where a line is not JSON */
export function eventsIn(stdout: string): readonly Event[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event);
}

/** An empty folder in which plugins find simmerkit as an installed package. */
export async function workFolder(): Promise<
  AsyncDisposable & { readonly path: string; write(name: string, text: string): Promise<void> }
> {
  const path = await mkdtemp(join(tmpdir(), 'simmer-e2e-'));
  await mkdir(join(path, 'node_modules'));
  await symlink(root, join(path, 'node_modules', 'simmerkit'));
  return {
    path,
    write: (name, text) => writeFile(join(path, name), text),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** Curation alone: done in a second. */
export const curationRecipe = `
name: small
seed: 7
params: { count: 300 }
stages:
  pool: { uses: curation/generate-problems, with: { count: "\${{ params.count }}" } }
  split: { uses: curation/split, with: { dataset: "\${{ stages.pool.dataset }}", heldout: 50 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.split.train }}" } }
`;

/** Curation, and training by the fake trainer, whose steps take `stepMilliseconds`, and which waits once after `hold` steps. */
export const trainingRecipe = `
name: training
seed: 7
params: { stepMilliseconds: 0, steps: 40, hold: 1000000 }
plugins: [./fake-trainer.mjs, ./tiny.mjs]
trainers:
  student:
    uses: fake-trainer/fake
    with: { misbehavior: { stepMilliseconds: "\${{ params.stepMilliseconds }}", holdAfterSteps: "\${{ params.hold }}" } }
stages:
  base: { uses: tiny/model }
  pool: { uses: curation/generate-problems, with: { count: 100 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.pool.dataset }}" } }
  tuned:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.formatted.dataset }}"
      maxSteps: "\${{ params.steps }}"
      checkpointEverySteps: 5
`;

/** The plugins of `trainingRecipe`, as third parties would write them. */
export const trainingPlugins: Readonly<Record<string, string>> = {
  'fake-trainer.mjs': "export { fakeTrainerPlugin as default } from 'simmerkit/testing';\n",
  'tiny.mjs': `
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
export default definePlugin({
  name: 'tiny',
  version: '1.0.0',
  apiVersion,
  stages: {
    model: defineStage({
      description: 'A model folder without weights.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { model: { type: 'model', description: 'The model.' } },
      async run({ artifacts }) {
        console.log('a plugin that talks');
        const folder = await artifacts.temporaryFolder();
        await writeFile(join(folder, 'config.json'), '{"model_type":"fake"}');
        await writeFile(join(folder, 'model.safetensors'), Buffer.from('\\u0002\\0\\0\\0\\0\\0\\0\\0{}'));
        return { model: await artifacts.commitModel(folder) };
      },
    }),
  },
});
`,
};

/** One stage of `gradingPlugin`. */
export const gradingRecipe = `
name: graded
params: { verdict: right }
plugins: [./graded.mjs]
stages:
  graded: { uses: graded/answers, with: { verdict: "\${{ params.verdict }}" } }
`;

/** A plugin whose stage makes graded answers: two right ones, and one as it is told. */
export const gradingPlugin = `
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
const columns = { prompt_id: 'VARCHAR', model: 'VARCHAR', policy: 'VARCHAR', extracted: 'VARCHAR', verdict: 'VARCHAR' };
export default definePlugin({
  name: 'graded',
  version: '1.0.0',
  apiVersion,
  stages: {
    answers: defineStage({
      description: 'Answers with verdicts.',
      options: z.strictObject({ verdict: z.string() }),
      inputs: {},
      outputs: { graded: { type: 'dataset', description: 'The answers.' } },
      async run({ artifacts, options }) {
        const rows = ['right', 'right', options.verdict].map((verdict, index) => ({
          prompt_id: 'q' + index, model: 'tuned', policy: 'none', extracted: String(index), verdict,
        }));
        return { graded: await artifacts.writeDataset(rows, { columns }) };
      },
    }),
  },
});
`;
