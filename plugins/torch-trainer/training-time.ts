import type { Hardware } from 'simmerkit';

/** What of a model its speed follows from. */
export interface SpeedShape {
  readonly parameters: number;
  /** Those that each token is computed with; unset: all. */
  readonly activeParameters?: number;
  readonly layers: number;
  /** Those that attend; unset: all. */
  readonly attentionLayers?: number;
  readonly hiddenSize: number;
}

interface TrainingPlace {
  readonly hardware: Hardware;
  readonly gpus: number;
  readonly nodes: number;
  readonly precision: 'float32' | 'bfloat16';
}

export interface TrainingWork {
  /** Longest sequence of a forward pass, in tokens: the others are padded to it, or wait for it. */
  readonly sequenceLength: number;
  readonly sequencesPerDevice: number;
  /** Share of the activations that is computed a second time in the backward pass: 1 with gradient checkpointing. */
  readonly recomputedShare: number;
  /** Whether all weights get gradients, or only an adapter's. */
  readonly trainsAll: boolean;
}

// Fixed by llm-foundry's table (see calibration.ts), together with `sustainedShare` of A100 and H100.

/** Attention reaches this share of the speed of large products. */
const attentionShare = 0.3;
/** What a layer reads and writes beside its products, forward and backward, in values of the hidden size for each token. */
const valuesMoved = 130;
/** Share of the time of FSDP's communication that computing does not hide. */
const exposedCommunication = 0.5;

/**
 * Seconds of one forward and backward pass on every device at once:
 *
 *   tokens x (products + attention + other traffic) + exposed communication
 *
 * where products are 6 (8 with recomputing; 4 or 6 for an adapter) operations for each parameter in use, causal attention is
 * 6 x layers that attend x hidden size x length operations (a third more with recomputing), and FSDP gathers the weights twice and
 * scatters the gradients once.
 *
 * @returns undefined where the hardware's figures are not known
 */
export function passSeconds(shape: SpeedShape, work: TrainingWork, place: TrainingPlace): number | undefined {
  const { parameters, activeParameters = parameters, layers, attentionLayers = layers, hiddenSize } = shape;
  const { sequenceLength, sequencesPerDevice, recomputedShare, trainsAll } = work;
  const { sustainedShare = 0.6, memoryBandwidth } = place.hardware;
  const peak = place.precision === 'bfloat16' ? place.hardware.bfloat16Flops : place.hardware.float32Flops;
  if (peak === undefined || memoryBandwidth === undefined) return undefined;
  const again = 1 + recomputedShare / 3;
  const operations = ((trainsAll ? 6 : 4) + 2 * recomputedShare) * activeParameters;
  const products = operations / (peak * sustainedShare);
  const attention =
    (6 * attentionLayers * hiddenSize * sequenceLength * again) / (peak * sustainedShare * attentionShare);
  const bytes = place.precision === 'bfloat16' ? 2 : 4;
  const traffic = (valuesMoved * layers * hiddenSize * bytes * again) / memoryBandwidth;
  const tokens = sequenceLength * sequencesPerDevice;
  const communication = communicationSeconds(parameters, place, trainsAll);
  return tokens * (products + attention + traffic) + exposedCommunication * communication;
}

function communicationSeconds(
  parameters: number,
  { hardware, gpus, nodes }: TrainingPlace,
  trainsAll: boolean,
): number {
  if (gpus <= 1) return 0;
  const { nodeBandwidth = 32e9, networkBandwidth = 12.5e9 } = hardware;
  const bytes = (trainsAll ? 3 : 2) * 2 * parameters;
  const within = (bytes * (gpus - 1)) / gpus / nodeBandwidth;
  // All accelerators of a machine share what comes from the others.
  const between = (bytes * (nodes - 1)) / nodes / ((networkBandwidth * gpus) / nodes);
  return within + between;
}

/**
 * Expected length of the longest of so many rows, in tokens, where the logarithm of lengths is normal.
 * @param spread its standard deviation
 */
export function longestOf(count: number, meanLength: number, spread: number): number {
  if (count <= 1) return meanLength;
  const share = (count - 0.375) / (count + 0.25);
  // Tukey's approximation of the normal quantile.
  const deviations = 4.91 * (share ** 0.14 - (1 - share) ** 0.14);
  return meanLength * Math.exp(spread * deviations - spread ** 2 / 2);
}
