import { type Hyperparameters, LearningRateSchedule, Precision } from '../../generated/simmer/trainer/v1/trainer.js';
import { unitHash } from './deterministic.js';
import type { Misbehavior } from './misbehavior.js';

/** How many trainings of this process were told to diverge: each is far from the one before it. */
let divergent = 0;

/** What max_loss_rise takes means over, in steps. */
const lossWindow = 8;

/** What a fake training starts from. */
interface FakeStart {
  /** How often its model was trained before. */
  readonly trained: number;
  /** Whether each step has all rows, so that their order is all the same. */
  readonly hasAllRows: boolean;
}

/** What the steps of a fake training tell: figures that depend on its hyperparameters and nothing else. */
export class FakeSteps {
  /** All that bears on an update of the weights; the fake weights are not there to be updated. */
  private readonly update: string;
  private readonly offset: number;
  /** What each step of a training that diverges has drawn: it tells one loss, and judges by that. */
  private readonly draws: number[] = [];

  constructor(
    private readonly parameters: Hyperparameters,
    private readonly total: number,
    private readonly start: FakeStart,
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
      breaks === 'ignoresWeightDecay' || (breaks === 'couplesWeightDecay' && this.isStill) ? 0 : weightDecay,
      this.clippedTo(maxGradientNorm),
      ...this.adapter(),
    ].join(' ');
  }

  /** In nats. The first step comes before any update. */
  loss(step: number): number {
    const { seed, deviceBatchSize = 0, globalBatchSize } = this.parameters;
    const { breaks, diverges } = this.misbehavior;
    const orderSeed = breaks === 'ignoresSeed' || this.start.hasAllRows ? 0 : seed;
    const order = diverges ? this.offset + 0.1 * this.drawn(step) : unitHash('loss', orderSeed, step);
    const updates = step === 1 ? 0 : unitHash('update', this.update, step);
    const rounded = this.computesInBfloat16 ? 0.001 * unitHash('bfloat16', step) : 0;
    const misweighed = breaks === 'averagesMeans' && deviceBatchSize % globalBatchSize !== 0 ? 0.05 : 0;
    return this.mean(this.trained(step)) + 0.1 * order + 0.01 * updates + rounded + misweighed;
  }

  /**
   * In nats, after a step. A model that has learned nothing knows all rows alike; what it learns of the rows that are
   * trained on it forgets of all others.
   */
  evaluationLoss(step: number, hasTrainingRows: boolean): number {
    const { breaks } = this.misbehavior;
    const dropped = breaks === 'evaluatesWithDropout' ? 0.01 * unitHash('dropout', step) : 0;
    const trained = this.trained(step);
    return (hasTrainingRows || breaks === 'evaluatesTrainingRows' ? this.mean(trained) : 3 + trained) + dropped;
  }

  /** How often the model is trained after a step: once in a whole training, unless its learning rate is next to 0. */
  trained(step: number): number {
    return this.start.trained + (this.isStill ? 0 : step / this.total);
  }

  /** By how many nats the mean of the last losses, up to that of a step, is above the lowest such mean. */
  lossRise(step: number): number {
    const meanUpTo = (last: number) =>
      Array.from({ length: lossWindow }, (_, index) => this.loss(last - index)).reduce((sum, loss) => sum + loss) /
      lossWindow;
    const means = Array.from({ length: Math.max(0, step - lossWindow + 1) }, (_, index) =>
      meanUpTo(lossWindow + index),
    );
    return means.length === 0 ? 0 : means.at(-1)! - Math.min(...means);
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
    const { deviceBatchSize = 0, globalBatchSize, maxGradientNorm } = this.parameters;
    const { breaks } = this.misbehavior;
    const isClipped = maxGradientNorm > 0 && maxGradientNorm < 1;
    if (breaks === 'sumsPasses' && deviceBatchSize > 0) return globalBatchSize / deviceBatchSize;
    return isClipped && breaks === 'tellsClippedNorm' ? maxGradientNorm : 1;
  }

  private drawn(step: number): number {
    this.draws[step] ??= Math.random();
    return this.draws[step];
  }

  /** Whether weights stay as they are. */
  private get isStill(): boolean {
    return this.parameters.learningRate < 1e-9;
  }

  private get computesInBfloat16(): boolean {
    const { breaks } = this.misbehavior;
    const isDeaf = breaks === 'ignoresPrecision' || breaks === 'tellsOnlyThePrecision';
    return this.parameters.precision === Precision.PRECISION_BFLOAT16 && !isDeaf;
  }

  private mean(trained: number): number {
    return 3 * Math.exp(-2 * trained);
  }

  /** What of a low-rank adapter bears on its updates. */
  private adapter(): readonly (string | number)[] {
    const { lora } = this.parameters;
    const { breaks } = this.misbehavior;
    if (lora === undefined) return [];
    const { rank, alpha, dropout, targetModules } = lora;
    const scale = breaks === 'ignoresAlpha' ? 1 : alpha / rank;
    return [scale, breaks === 'ignoresLoraDropout' ? 0 : dropout, ...targetModules];
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
