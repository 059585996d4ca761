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

/** How a check came out. */
export interface CheckResult {
  readonly name: string;
  /** `notDeclared`: it needs a capability that the trainer does not declare. `notRun`: the trainer did not start. */
  readonly status: 'passed' | 'failed' | 'notDeclared' | 'notRun';
  readonly expected: string;
  /** What was seen instead, or why it was not run. */
  readonly saw?: string;
  readonly seconds: number;
}

/** A trainer did something else than the contract says. */
export class Deviation extends Error {
  constructor(
    readonly expected: string,
    readonly saw: string,
  ) {
    super(`expected ${expected}; saw ${saw}`);
  }
}

/** @throws Deviation where it does not hold */
export function demand(holds: boolean, expected: string, saw: unknown): asserts holds {
  if (!holds) throw new Deviation(expected, typeof saw === 'string' ? saw : show(saw));
}

/** A value as text, short enough to be read; wire messages hold bigints. */
export function show(value: unknown): string {
  if (value instanceof Error) return value.message;
  const text =
    JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? Number(item) : item)) ?? 'nothing';
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
