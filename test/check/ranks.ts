import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventsIn, startSimmer } from '../e2e/cli-process.js';
import { freePort } from '../free-port.js';

/**
 * `npm run check:ranks`: one training by two torchrun agents, as on two machines, meeting at a port of this one. The core
 * is killed, and the next one takes the ranks up; the rank of the second agent is killed, and the run goes on from its
 * last checkpoint; in the end no rank is left. Its last line is JSON.
 */
const steps = 40;
const recipe = (port: number) => `
name: ranks
trainers:
  student:
    uses: torch-trainer/torch
    with: { device: cpu, threads: 1 }
    launcher:
      uses: launchers/torchrun
      with:
        nodes: 2
        rendezvous: 127.0.0.1:${port}
        hosts: [second]
        nodeCommand: [sh, -c, "exec {command}"]
stages:
  base:
    uses: torch-trainer/base-model
    with:
      trainer: student
      source:
        random:
          seed: 3
          config: { model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2,
                    num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256 }
  problems: { uses: curation/generate-problems, with: { count: 80 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.problems.dataset }}" } }
  tuned:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.formatted.dataset }}"
      maxSteps: ${steps}
      globalBatchSize: 4
      deviceBatchSize: 1
      precision: float32
      maxSequenceLength: 256
      maxTruncatedShare: 1
      checkpointEverySteps: 4
`;

const folder = await mkdtemp(join(tmpdir(), 'simmer-ranks-'));
await writeFile(join(folder, 'recipe.yaml'), recipe(await freePort()));

const checkpoint = '"type":"checkpoint.saved"';
const first = startSimmer(['run', 'recipe.yaml', '--json'], { cwd: folder });
await first.printed(checkpoint);
first.child.kill('SIGKILL');
await first.ended;

const second = startSimmer(['resume', 'latest', '--json'], { cwd: folder });
await second.printed(checkpoint);
const [firstRanks] = await ranksByStart();
const killedAt = Date.now();
process.kill(firstRanks!.find(({ rank }) => rank === 1)!.pid, 'SIGKILL');
const { code, stderr } = await second.ended;
if (code !== 0) throw new Error(`The run did not complete: exit ${code}.\n${stderr}`);

const events = eventsIn(await readFile(join(await runFolder(), 'events.jsonl'), 'utf8'));
const exited = events.find(({ type, time }) => type === 'trainer.exited' && Date.parse(time) >= killedAt);
const secondsToNotice = (Date.parse(exited?.time ?? '') - killedAt) / 1000;
const pids = [firstRanks, ...(await ranksByStart()).slice(1)].flat().map((rank) => rank!.pid);
const logged = events.filter((event) => event.type === 'step.logged').map(({ data }) => data);
const result = {
  ranks: 2,
  agents: 2,
  attached: events.filter(({ type }) => type === 'trainer.attached').length,
  starts: events.filter(({ type }) => type === 'trainer.started').length,
  secondsToNotice,
  resumedAfterSteps: events
    .filter((event) => event.type === 'training.started')
    .map(({ data }) => data.resumedAfterStep),
  steps: new Set(logged.map(({ step }) => step)).size,
  stepsUnmarked: unmarked(logged),
  ranksLeft: pids.filter(isAlive).length,
};
console.log(JSON.stringify(result));
const isRight =
  result.attached === 1 &&
  result.starts === 2 &&
  secondsToNotice < 30 &&
  result.resumedAfterSteps.at(-1)! > 0 &&
  result.steps === steps &&
  result.stepsUnmarked === 0 &&
  result.ranksLeft === 0;
await rm(folder, { recursive: true });
process.exit(isRight ? 0 : 1);

async function runFolder(): Promise<string> {
  const runs = join(folder, '.simmer', 'runs');
  return join(runs, (await readdir(runs)).find((name) => name.startsWith('ranks-'))!);
}

/** The ranks of each start of the trainer, as rank 0 told of those that joined it. */
async function ranksByStart(): Promise<{ rank: number; pid: number }[][]> {
  const trainer = join(await runFolder(), 'trainers', 'student');
  const files = (await readdir(trainer)).filter((name) => /^stderr-\d+\.log$/.test(name)).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(trainer, name), 'utf8')));
  return texts.map((output) =>
    [...output.matchAll(/rank (\d+) \(process (\d+) on .*\) has joined/g)].map(([, rank, pid]) => ({
      rank: Number(rank),
      pid: Number(pid),
    })),
  );
}

function unmarked(logged: readonly { readonly step: number; readonly rerun: boolean }[]): number {
  const seen = new Set<number>();
  let count = 0;
  for (const { step, rerun } of logged) {
    if (seen.has(step) !== rerun) count += 1;
    seen.add(step);
  }
  return count;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
