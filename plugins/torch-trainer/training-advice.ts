import type { Advice, TrainerJob } from 'simmerkit';
import { largerHardware, usableShare } from './larger-hardware.js';

/** A training on so many accelerators. */
interface TrainingSetting {
  readonly job: Extract<TrainerJob, { kind: 'training' }>;
  readonly gpus: number;
}

interface TrainingLimits {
  /** What one accelerator has, in bytes; infinite where that is not known. */
  readonly memoryBytes: number;
  readonly precision: 'float32' | 'bfloat16';
  /** Tokens of the longest row. */
  readonly longest: number;
  readonly takesSeveralRows: boolean;
  /** What a setting takes of each accelerator. */
  bytesOf(setting: TrainingSetting): number;
}

/** A change of a recipe that takes less memory of each accelerator. */
interface Remedy {
  /** Remedies of one kind exclude each other. */
  readonly kind: string;
  /** As it is written in a recipe. */
  readonly change: string;
  apply(setting: TrainingSetting): TrainingSetting;
}

/** How many remedies are put together at most, and how many such sets are told. */
const mostTogether = 3;
const mostSets = 3;

/**
 * What would take less memory: what changes no result first, then more hardware, then what changes the result. Where
 * nothing is enough alone, then also what is enough together, of the fewest changes.
 */
export function trainingAdvice(setting: TrainingSetting, limits: TrainingLimits): readonly Advice[] {
  const { memoryBytes, bytesOf } = limits;
  const adviceOf = (remedies: readonly Remedy[]): Advice => ({
    change: remedies.map(({ change }) => change).join(', '),
    bytes: bytesOf(remedies.reduce((changed, remedy) => remedy.apply(changed), setting)),
  });
  const isEnough = ({ bytes, memoryBytes: other = memoryBytes }: Advice) => bytes <= usableShare * other;
  const remedies = remediesFor(setting, limits);
  const told = remedies.map((remedy) => ({ kind: remedy.kind, advice: adviceOf([remedy]) }));
  const counts = told.filter(({ kind }) => kind === 'gpus');
  // The fewest that suffice, and where none do, the most.
  const count = counts.find(({ advice }) => isEnough(advice)) ?? counts.at(-1);
  const alone = told.flatMap((one) => {
    if (one === count) return [one.advice, ...largerHardware(bytesOf(setting), memoryBytes)];
    return one.kind === 'gpus' ? [] : [one.advice];
  });
  if (alone.some(isEnough)) return alone;
  for (let size = 2; size <= mostTogether; size += 1) {
    const sets = new Map<string, Advice>();
    for (const set of setsOf(remedies, size)) {
      const kinds = set.map(({ kind }) => kind).join();
      if (sets.has(kinds)) continue;
      const advice = adviceOf(set);
      if (isEnough(advice)) sets.set(kinds, advice);
    }
    if (sets.size > 0) return [...alone, ...[...sets.values()].slice(0, mostSets)];
  }
  return alone;
}

/** The mildest first; of one kind, what costs less first. */
function remediesFor({ job, gpus }: TrainingSetting, limits: TrainingLimits): readonly Remedy[] {
  const { hyperparameters: given, extensions } = job;
  const remedies: Remedy[] = [];
  const suggest = (kind: string, change: string, hyperparameters: Partial<typeof given>) =>
    remedies.push({
      kind,
      change,
      apply: (setting) => ({
        ...setting,
        job: { ...setting.job, hyperparameters: { ...setting.job.hyperparameters, ...hyperparameters } },
      }),
    });
  if (!given.gradientCheckpointing)
    suggest('recomputing', 'gradientCheckpointing: true', { gradientCheckpointing: true });
  if (limits.takesSeveralRows) suggest('rows', 'deviceBatchSize: 1', { deviceBatchSize: 1 });
  for (const times of gpus > 0 ? [2, 4, 8, 16, 32] : []) {
    remedies.push({
      kind: 'gpus',
      change: `gpus: ${times * gpus}`,
      apply: (setting) => ({ ...setting, gpus: times * gpus }),
    });
  }
  if (limits.precision === 'bfloat16' && extensions?.weights !== 'bfloat16' && given.method === 'full') {
    remedies.push({
      kind: 'method',
      change: 'extensions: { weights: bfloat16 }',
      apply: (setting) => ({
        ...setting,
        job: { ...setting.job, extensions: { ...setting.job.extensions, weights: 'bfloat16' } },
      }),
    });
  }
  const half = 2 ** Math.floor(Math.log2(Math.max(2, limits.longest - 1)));
  // Left to itself, the trainer would put the more rows into a pass, the shorter they are.
  const alone = given.deviceBatchSize === 1 ? '' : ', deviceBatchSize: 1';
  suggest('rows', `maxSequenceLength: ${half}${alone}`, { maxSequenceLength: half, deviceBatchSize: 1 });
  if (given.method === 'full') suggest('method', 'method: lora', { method: 'lora' });
  if (given.method !== 'qlora') suggest('method', 'method: qlora', { method: 'qlora' });
  return remedies;
}

/** All sets of so many remedies of different kinds, in their order: those of the first ones first. */
function* setsOf(remedies: readonly Remedy[], size: number): Iterable<readonly Remedy[]> {
  if (size === 0) return yield [];
  for (const [at, remedy] of remedies.entries()) {
    const others = remedies.slice(at + 1).filter(({ kind }) => kind !== remedy.kind);
    for (const rest of setsOf(others, size - 1)) yield [remedy, ...rest];
  }
}
