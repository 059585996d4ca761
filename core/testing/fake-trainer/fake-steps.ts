import { type Hyperparameters, LearningRateSchedule } from '../../generated/simmer/trainer/v1/trainer.js';
import { unitHash } from './deterministic.js';
import type { Misbehavior } from './misbehavior.js';

/** How many trainings of this process were told to diverge: each is far from the one before it. */
let divergent = 0;

/** What the steps of a fake training tell: figures that depend on its hyperparameters and nothing else. */
export class FakeSteps {
  /** All that bears on an update of the weights; the fake weights are not there to be updated. */
  private readonly update: string;
  private readonly offset: number;

  constructor(
    private readonly parameters: Hyperparameters,
    private readonly total: number,
    private readonly misbehavior: Pick<Misbehavior, 'breaks' | 'diverges'>,
  ) {
    const { breaks } = misbehavior;
    if (misbehavior.diverges) divergent += 1;
    this.offset = divergent % 2;
    const { adamBeta1, adamBeta2, adamEpsilon, weightDecay, maxGradientNorm } = parameters;
    this.update = [
      breaks === 'tellsOnlyTheRate' ? parameters.learningRate : this.rates().join(),
      adamBeta1,
      breaks === 'ignoresBeta2' ? 0.95 : adamBeta2,
      adamEpsilon,
      breaks === 'ignoresWeightDecay' ? 0 : weightDecay,
      this.clippedTo(maxGradientNorm),
    ].join(' ');
  }

  /** In nats. The first step comes before any update. */
  loss(step: number): number {
    const { seed } = this.parameters;
    const { breaks, diverges } = this.misbehavior;
    const order = diverges
      ? this.offset + 0.1 * Math.random()
      : unitHash('loss', breaks === 'ignoresSeed' ? 0 : seed, step);
    const updates = step === 1 ? 0 : unitHash('update', this.update, step);
    return 3 * Math.exp((-2 * step) / this.total) + 0.1 * order + 0.01 * updates;
  }

  learningRate(step: number): number {
    const { learningRate, schedule, warmupRatio } = this.parameters;
    const { breaks } = this.misbehavior;
    const warmup = breaks === 'ignoresWarmup' ? 0 : Math.ceil(warmupRatio * this.total);
    if (step <= warmup) return (learningRate * (step - 1)) / warmup;
    const share = (step - 1 - warmup) / (this.total - warmup);
    const isLinear = schedule !== LearningRateSchedule.LEARNING_RATE_SCHEDULE_COSINE;
    if (schedule === LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT && breaks !== 'ignoresSchedule')
      return learningRate;
    return learningRate * (isLinear || breaks === 'ignoresSchedule' ? 1 - share : (1 + Math.cos(Math.PI * share)) / 2);
  }

  /** Before clipping: each is 1. */
  get gradientNorm(): number {
    const { maxGradientNorm } = this.parameters;
    const isClipped = maxGradientNorm > 0 && maxGradientNorm < 1;
    return isClipped && this.misbehavior.breaks === 'tellsClippedNorm' ? maxGradientNorm : 1;
  }

  private rates(): readonly number[] {
    return [1, Math.ceil(this.total / 4), Math.ceil(this.total / 2), this.total].map((step) => this.learningRate(step));
  }

  /** The norm that gradients have in the end. */
  private clippedTo(maxGradientNorm: number): number {
    const { breaks } = this.misbehavior;
    if (breaks === 'ignoresClipping') return 1;
    const isOff = maxGradientNorm === 0 && breaks !== 'clipsToNothing';
    return isOff ? 1 : Math.min(1, maxGradientNorm);
  }
}
