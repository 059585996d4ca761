import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { root } from '../python/check-python.js';
import { smolLm2Folder, trainerPythonWith } from '../python/trainer-script.js';
import { type Bench, median } from './bench.js';

/** As the script has it. */
const stepsPerTurn = 5;
const trainerScript = join(root, 'test/bench/overhead_trainer.py');

/** Some steps of one side. */
interface Turn {
  readonly losses: readonly number[];
  readonly seconds: number;
}

/**
 * What a run costs its training: SmolLM2 trained by `simmer run`, with its log, its report and its events on stdout,
 * against the same job of the same trainer without a core. Both take turns of a few steps, so that a machine that is
 * busy for a while slows both. Arguments: pairs of turns (9).
 */
export const bench: Bench = async ([pairs = '9']) => {
  const folder = await mkdtemp(join(tmpdir(), 'simmer-overhead-'));
  const children: ChildProcess[] = [];
  const sides: Side[] = [];
  try {
    const { python, env: packages } = await trainerPythonWith();
    // As the trainer's own start sets them, and the same for both.
    const env = { ...packages, OMP_WAIT_POLICY: 'PASSIVE', HF_HUB_OFFLINE: '1' };
    const environment = { ...process.env, ...env };
    const request = join(folder, 'request.bin');
    const job = (name: string) => [python, trainerScript, join(folder, `${name}.sock`), request];
    const recipe = await writeRecipe(folder, (Number(pairs) + 1) * stepsPerTurn, { argv: job('run'), env });

    const run = await openSide(join(folder, 'run.sock'), () => {
      const args = [join(root, 'dist/core/cli/main.js'), 'run', recipe, '--home', join(folder, 'home'), '--json'];
      const core = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'], env: environment });
      children.push(core);
      return core;
    });
    sides.push(run);
    const output = join(folder, 'alone');
    await mkdir(output);
    const alone = await openSide(join(folder, 'alone.sock'), () => {
      const [command = '', ...args] = job('alone');
      const child = spawn(command, [...args, output], { stdio: ['ignore', 'ignore', 'inherit'], env: environment });
      children.push(child);
      return child;
    });
    sides.push(alone);

    // The first turn warms up.
    await run.turn();
    await alone.turn();
    const ratios: number[] = [];
    let [coreSeconds, runSeconds] = [0, 0];
    for (let pair = 0; pair < Number(pairs); pair++) {
      const inRun = async () => {
        const before = await processorSeconds(run.process);
        const turn = await run.turn();
        coreSeconds += (await processorSeconds(run.process)) - before;
        runSeconds += turn.seconds;
        return turn;
      };
      const first = pair % 2 === 0 ? await inRun() : await alone.turn();
      const second = pair % 2 === 0 ? await alone.turn() : await inRun();
      const [ours, theirs] = pair % 2 === 0 ? [first, second] : [second, first];
      if (String(ours.losses) !== String(theirs.losses)) throw new Error('The sides did not do the same work.');
      ratios.push(theirs.seconds / ours.seconds);
      console.log(`${stepsPerTurn} steps: ${ours.seconds.toFixed(2)} s in a run, ${theirs.seconds.toFixed(2)} s alone`);
    }
    const sorted = ratios.toSorted((a, b) => a - b);
    const rounded = (value: number) => Math.round(value * 10_000) / 10_000;
    return {
      ratios: { 'vs-trainer-alone': rounded(median(ratios)) },
      goals: { 'vs-trainer-alone': 0.99, coreShare: 0.01 },
      // Of the median, at 96% where there are nine pairs: from the second lowest to the second highest.
      interval: [rounded(sorted[1]!), rounded(sorted.at(-2)!)],
      // Processor time of the core while the training's steps ran, of one processor's.
      coreShare: rounded(coreSeconds / runSeconds),
      pairs: Number(pairs),
      stepsPerTurn,
    };
  } finally {
    // A trainer whose turns end, ends.
    for (const side of sides) side.socket.destroy();
    for (const child of children) child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
};

interface Side {
  readonly process: ChildProcess;
  readonly socket: Socket;
  turn(): Promise<Turn>;
}

/** Starts a side and waits until its first step may begin. */
async function openSide(path: string, start: () => ChildProcess): Promise<Side> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const process = start();
  const exited = new Promise<never>((_, reject) =>
    process.once('exit', (code) => reject(new Error(`A side ended with ${code}.`))),
  );
  exited.catch(() => undefined);
  const socket = await Promise.race([connected, exited]);
  server.close();
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await Promise.race([lines.next(), exited])).value as string) as Turn;
  await next();
  return {
    process,
    socket,
    turn() {
      socket.write('go\n');
      return next();
    },
  };
}

/** User and system time of a process's threads. */
async function processorSeconds({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold blanks; in hundredths of a second.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function writeRecipe(
  folder: string,
  steps: number,
  command: { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> },
): Promise<string> {
  const simmerkit = pathToFileURL(join(root, 'dist/core/index.js')).href;
  await writeFile(
    join(folder, 'bench.mjs'),
    `
import { apiVersion, definePlugin, defineTrainer, z } from ${JSON.stringify(simmerkit)};
const command = ${JSON.stringify(command)};
const turns = defineTrainer({
  description: 'The torch trainer, which takes turns.',
  options: z.strictObject({}),
  relevantVersions: async () => ({}),
  prepare: async () => command,
});
export default definePlugin({ name: 'bench', version: '1.0.0', apiVersion, trainers: { turns } });
`,
  );
  const file = join(folder, 'recipe.json');
  const source = await smolLm2Folder();
  const sizes = { globalBatchSize: 8, deviceBatchSize: 8, maxSequenceLength: 512 };
  const training = { learningRate: 1e-4, maxSteps: steps, checkpointEverySteps: 0, ...sizes };
  const output = (name: string) => `\${{ stages.${name} }}`;
  const stages = {
    base: { uses: 'torch-trainer/base-model', with: { trainer: 'student', source } },
    problems: { uses: 'curation/generate-problems', with: { count: 400 } },
    formatted: { uses: 'curation/format', with: { dataset: output('problems.dataset') } },
    tuned: {
      uses: 'sft/train',
      with: {
        trainer: 'student',
        model: output('base.model'),
        dataset: output('formatted.dataset'),
        ...training,
      },
    },
  };
  const recipe = {
    name: 'overhead',
    seed: 7,
    plugins: ['./bench.mjs'],
    trainers: { student: { uses: 'bench/turns' } },
  };
  await writeFile(file, JSON.stringify({ ...recipe, stages }));
  return file;
}
