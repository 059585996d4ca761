import type { Hyperparameters } from 'simmerkit';
import { longestOf } from './training-time.js';

/** Tokens in one forward pass where deviceBatchSize is not set, as `simmer_trainer/batching.py` has them. */
const tokensPerPass = { cpu: 2048, gpu: 16_384 };

/** What is known of the rows of a training, in tokens. */
export interface Lengths {
  readonly rows: number | undefined;
  readonly mean: number | undefined;
  /** Standard deviation of the logarithms of lengths. */
  readonly spread: number;
}

/** How the trainer lays out the rows of a step in forward passes. */
export interface Batching {
  /** Longest row of all. */
  readonly longest: number;
  /** Most tokens in one pass of one device, padding included: what memory is needed for. */
  readonly mostTokens: number;
  /** Passes of one device in each step. */
  readonly passes: number;
  /** Of a pass as they are on average: how long attention's sequences are, and how many lie side by side. */
  readonly sequenceLength: number;
  readonly sequences: number;
}

/** @param devices that share a step @param onGpu whether these are GPUs */
export function batchingOf(given: Hyperparameters, lengths: Lengths, devices: number, onGpu: boolean): Batching {
  const { globalBatchSize, maxSequenceLength: limit } = given;
  const { rows, mean, spread } = lengths;
  const preferred = onGpu ? tokensPerPass.gpu : tokensPerPass.cpu;
  const share = Math.ceil(globalBatchSize / devices);
  const among = (count: number) => Math.min(limit, mean === undefined ? limit : longestOf(count, mean, spread));
  const longest = among(rows ?? 1e6);
  const asked = given.deviceBatchSize === undefined ? undefined : Math.min(given.deviceBatchSize, share);
  if (!given.packing) {
    const rowsPerPass = asked ?? largestDivisor(share, Math.max(1, Math.floor(preferred / longest)));
    return {
      longest,
      mostTokens: rowsPerPass * longest,
      passes: Math.ceil(globalBatchSize / (rowsPerPass * devices)),
      sequenceLength: among(rowsPerPass * devices),
      sequences: rowsPerPass,
    };
  }
  const room = asked === undefined ? Math.max(preferred, longest) : asked * longest;
  const tokens = globalBatchSize * Math.min(mean ?? limit, limit);
  const passes = Math.max(1, Math.ceil(tokens / (room * devices)));
  // A row is never cut: a pass waits for the longest where it is alone in one.
  const filled = Math.max(tokens / (passes * devices), among(globalBatchSize));
  // Attention's work goes by the mean of the squares.
  const sequenceLength = mean === undefined ? limit : Math.min(mean * Math.exp(spread ** 2), longest);
  return {
    longest,
    mostTokens: Math.min(room, globalBatchSize * longest),
    passes,
    sequenceLength,
    sequences: Math.min(filled, room) / sequenceLength,
  };
}

function largestDivisor(of: number, atMost: number): number {
  let size = Math.min(of, atMost);
  while (of % size !== 0) size -= 1;
  return size;
}
