import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { random } from '../../core/random.js';
import { tortureCores } from './trainer-cores.js';
import { jobs, trainUndisturbed, writeTrainingRows } from './trainer-job.js';
import { Tally, TorturedRun } from './trainer-kills.js';
import { TrainerFactory } from './trainer-process.js';

const help = `npm run torture -- trainer [--kills N] [--core-kills N] [--seed N] [--short]

Trains a tiny model on the CPU in float32 with the torch trainer, and kills it with SIGKILL: --kills times in all (200),
inside saves of checkpoints, after random steps and at random moments. Each run goes on until its end and must come to the
weights of an undisturbed one, bit for bit. Then the core is killed --core-kills times (20) while the trainer goes on.
Ends in one line of JSON; runs and identical must be equal, stepsUnmarked and lossesDiffering 0.`;

const killsPerRun = 20;
const lanes = 2;

/** The last line on stdout is the result as JSON. @returns the exit code */
export async function tortureTrainer(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      kills: { type: 'string' },
      'core-kills': { type: 'string' },
    },
  });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const kills = Number(values.kills ?? (values.short ? 8 : 200));
  // The short version of it is a test of the kills of cores.
  const coreKills = Number(values['core-kills'] ?? (values.short ? 0 : 20));
  const seed = Number(values.seed);
  console.error(`seed ${seed}`);
  const folder = await mkdtemp(join(tmpdir(), 'simmer-torture-'));
  const factory = await TrainerFactory.open();
  try {
    const tally = await tortureTrainings(factory, folder, { kills, seed, endsPlainly: !values.short });
    const isCoreGood = coreKills === 0 || (await tortureCores(join(folder, 'cores'), coreKills, seed));
    const { insideSave, beforeFirstCheckpoint, runs, identical, stepsRerun, stepsUnmarked, lossesDiffering } = tally;
    console.log(
      JSON.stringify({
        kills: tally.kills,
        insideSave,
        beforeFirstCheckpoint,
        runs,
        identical,
        stepsRerun,
        stepsUnmarked,
        lossesDiffering,
      }),
    );
    return tally.isGood && isCoreGood ? 0 : 1;
  } finally {
    factory.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface TrainingsOptions {
  readonly kills: number;
  readonly seed: number;
  /** Whether the last process of the first run of each job is an ordinary one, and not a fork. */
  readonly endsPlainly: boolean;
}

async function tortureTrainings(
  factory: TrainerFactory,
  folder: string,
  { kills, seed, endsPlainly }: TrainingsOptions,
): Promise<Tally> {
  const tally = new Tally();
  const startedAt = performance.now();
  const report = (what: string) => console.error(`${((performance.now() - startedAt) / 1000).toFixed(1)} s: ${what}`);
  const dataFile = join(folder, 'rows.parquet');
  await writeTrainingRows(dataFile);
  const references = await trainUndisturbed(factory, join(folder, 'undisturbed'), dataFile);
  report('trained each job undisturbed');
  const names = Object.keys(jobs);
  let started = 0;
  const lane = async () => {
    // A run may come to its end before it was killed so often.
    while (tally.kills < kills) {
      const ordinal = started++;
      const ownKills = Math.min(killsPerRun, Math.ceil((kills - tally.kills) / lanes));
      const job = names[ordinal % names.length]!;
      const before = tally.kills;
      await new TorturedRun({
        factory,
        folder: join(folder, `run-${ordinal}`),
        dataFile,
        job,
        reference: references.get(job)!,
        choose: random(seed, `run ${ordinal}`),
        tally,
        kills: ownKills,
        lastStart: endsPlainly && ordinal < names.length ? 'program' : 'fork',
      }).toTheEnd();
      report(`run ${ordinal} (${job}) has ended; ${tally.kills - before} kills meanwhile, ${tally.kills} in all`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (const violation of tally.violations.slice(0, 20)) console.error(`wrong: ${violation}`);
  console.error([...tally.killsAt].map(([at, count]) => `${at} ${count}`).join(', '));
  return tally;
}
