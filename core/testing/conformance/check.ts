import type { Capability } from '../../trainer/trainer.js';
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
