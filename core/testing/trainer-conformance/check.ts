import { type ServiceError, status } from '@grpc/grpc-js';
import type { Capability } from '../../trainer/trainer.js';
import { demand } from '../verification.js';
import type { TrainerBench } from './trainer-bench.js';

/** One clause of the contract of simmer.trainer.v1, and how it is tried. */
export interface TrainerCheck {
  /** kebab-case, stable: `--only` and CI configurations name it. */
  readonly name: string;
  /** What the contract demands, in one sentence. */
  readonly expects: string;
  /** Tried only where all of these are declared. */
  readonly needs: readonly Capability[];
  /**
   * @returns what the trainer refused to do, where the contract lets it
   * @throws Deviation, or whatever else went wrong: either fails the check
   */
  run(bench: TrainerBench): Promise<void> | Promise<string | undefined>;
}

/** Statuses that mean: this can never succeed as it is. */
export const refusals: readonly status[] = [status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.OUT_OF_RANGE];

/** With what a trainer refuses what it cannot honour. */
const honestRefusals: readonly status[] = [status.INVALID_ARGUMENT, status.FAILED_PRECONDITION];

/**
 * @returns in words what it does not do
 * @throws Deviation where it is refused with another status than it may be, or so is a training without it
 */
export async function refusedHonestly(bench: TrainerBench, refusal: ServiceError, what: string): Promise<string> {
  demandStatus(refusal, honestRefusals, `INVALID_ARGUMENT or FAILED_PRECONDITION for ${what} that it cannot honour`);
  await bench.repeated();
  return `the trainer refuses ${what}: ${refusal.details}`;
}

/** @param refusal of a call; undefined where it was answered @throws Deviation where it has none of the statuses */
export function demandStatus(
  refusal: ServiceError | undefined,
  codes: readonly status[],
  expected: string,
  answered = 'an answer',
): void {
  const saw = refusal === undefined ? answered : `${status[refusal.code]}: ${refusal.details}`;
  demand(refusal !== undefined && codes.includes(refusal.code), expected, saw);
}
