import type { Hyperparameters, StartTrainingRequest } from '../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../verification.js';
import { refusedHonestly } from './check.js';
import { named } from './named.js';
import { hyperparameters, type ShortTraining, type TrainerBench } from './trainer-bench.js';

type Change = Partial<Hyperparameters>;

/** A short training, and what it was asked for. */
export interface Trial extends ShortTraining {
  readonly change: Change;
}

/** How many times as far apart as by chance losses must be to count as others. */
const chanceFactor = 3;

/** Short trainings with one hyperparameter or two changed, and whether that shows in their losses. */
export class Trials {
  private readonly refusals: string[] = [];

  constructor(private readonly bench: TrainerBench) {}

  /** What the trainer refused, in words. */
  get refused(): string | undefined {
    return this.refusals.length === 0 ? undefined : [...new Set(this.refusals)].join('; ');
  }

  /** The training without any change. */
  async plain(): Promise<Trial> {
    const [training] = await this.bench.repeated();
    return { change: {}, ...training };
  }

  /**
   * @param what it is about, for messages
   * @returns undefined where it is refused
   * @throws Deviation where it is refused as it may not be
   */
  async with(
    change: Change,
    { what = named(change), ...request }: Partial<StartTrainingRequest> & { readonly what?: string } = {},
  ): Promise<Trial | undefined> {
    const training = await this.bench.short(change, request);
    if (!(training instanceof Error)) return { change, ...training };
    this.refusals.push(await refusedHonestly(this.bench, training, what));
    return undefined;
  }

  /** That these hyperparameters, changed alone, give other losses than those of `plain`. @throws Deviation */
  async changeLosses(change: Change): Promise<void> {
    const trial = await this.with(change);
    if (trial !== undefined) await this.differ(trial, await this.plain());
  }

  /** @throws Deviation where their losses are the same, or no further apart than chance takes them */
  async differ(trial: Trial, other: Trial): Promise<void> {
    const [first, second] = await this.bench.repeated();
    const chance = furthest(lossesOf(first), lossesOf(second));
    const found = furthest(lossesOf(trial), lossesOf(other));
    const [what, than] = [named(trial.change), named(before(trial.change, other.change))];
    if (chance === 0) {
      demand(found > 0, `other losses with ${what} than with ${than}`, `the same: ${inWords(trial)}`);
      return;
    }
    const expected =
      `losses with ${what} that are further from those with ${than} than chance takes them: ` +
      `the same request twice gave losses ${chance} apart, so by more than ${chanceFactor} times that`;
    demand(found > chanceFactor * chance, expected, `${found} at most: ${inWords(trial)}`);
  }

  /** @throws Deviation where the losses of the two are not far closer than those of the second and a third */
  areAlike(trial: Trial, other: Trial, third: Trial): void {
    const isClose = 2 * furthest(lossesOf(trial), lossesOf(other)) < furthest(lossesOf(other), lossesOf(third));
    const [what, like] = [named(trial.change), named(other.change)];
    demand(isClose, `with ${what} the losses that ${like} gives: ${inWords(other)}`, inWords(trial));
  }
}

/** What the hyperparameters that `change` changes were in the other training. */
function before(change: Change, other: Change): Change {
  const all = { ...hyperparameters, ...other };
  return Object.fromEntries(Object.keys(change).map((name) => [name, all[name as keyof Change]]));
}

type Figures = readonly (number | undefined)[];

/** The largest difference between two figures of one step; NaN where one is missing. */
export function furthest(left: Figures, right: Figures): number {
  return Math.max(...left.map((value = Number.NaN, index) => Math.abs(value - (right[index] ?? Number.NaN))));
}

/** In nats. */
const lossesOf = ({ steps }: ShortTraining): Figures => steps.map(({ loss }) => loss);

const inWords = (training: ShortTraining) =>
  lossesOf(training)
    .map((loss) => loss?.toPrecision(7) ?? 'none')
    .join(', ');
