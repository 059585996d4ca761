import { type ServiceError, status } from '@grpc/grpc-js';
import type { Capability } from '../../trainer/trainer.js';
import { demand } from '../verification.js';
import type { Bench } from './bench.js';

/** One clause of the contract of simmer.trainer.v1, and how it is tried. */
export interface Check {
  /** kebab-case, stable: `--only` and CI configurations name it. */
  readonly name: string;
  /** What the contract demands, in one sentence. */
  readonly expects: string;
  /** Tried only where all of these are declared. */
  readonly needs: readonly Capability[];
  /** @throws Deviation, or whatever else went wrong: either fails the check */
  run(bench: Bench): Promise<void>;
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
