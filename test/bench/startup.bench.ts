import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../python/check-python.js';
import { type Bench, median } from './bench.js';

const simmer = join(root, 'dist/core/cli/main.js');
const recipe = join(root, 'recipes/s1.yaml');
const defaultRounds = 15;

/**
 * How long the command line takes to start: `--help` against an empty Node, and how long `plan` and `validate` of the s1
 * recipe take. The commands take turns, so that a machine that is busy for a while slows all of them.
 */
export const bench: Bench = async ([rounds = String(defaultRounds)]) => {
  const home = mkdtempSync(join(tmpdir(), 'simmer-bench-'));
  const commands = {
    'node -e 0': ['-e', '0'],
    'simmer --help': [simmer, '--help'],
    'simmer plan recipes/s1.yaml': [simmer, 'plan', recipe, '--home', home],
    'simmer validate recipes/s1.yaml': [simmer, 'validate', recipe],
  };
  const names = Object.keys(commands) as (keyof typeof commands)[];
  const seconds = new Map(names.map((name) => [name, [] as number[]]));
  try {
    // The first round fills the caches of the disk and is not counted.
    for (let round = 0; round <= Number(rounds); round++) {
      for (const name of names) {
        const took = timed(name, commands[name]);
        if (round > 0) seconds.get(name)?.push(took);
      }
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const medianOf = (name: keyof typeof commands) => median(seconds.get(name) ?? []);
  for (const name of names) console.log(`${(medianOf(name) * 1000).toFixed(0).padStart(6)} ms  ${name}`);
  const ratio = medianOf('node -e 0') / medianOf('simmer --help');
  return {
    ratios: { 'vs-node-e0': rounded(ratio) },
    goals: { 'vs-node-e0': 0.25, planSeconds: 1 },
    rounds: Number(rounds),
    nodeSeconds: rounded(medianOf('node -e 0')),
    helpSeconds: rounded(medianOf('simmer --help')),
    planSeconds: rounded(medianOf('simmer plan recipes/s1.yaml')),
    validateSeconds: rounded(medianOf('simmer validate recipes/s1.yaml')),
  };
};

function timed(name: string, args: readonly string[]): number {
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr.toString()}`);
  return (performance.now() - startedAt) / 1000;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
