import { UserError } from '../errors.js';

/** How one clause of a contract came out. */
export interface CheckResult {
  readonly name: string;
  /** `notDeclared`: it needs what is not declared. `notRun`: what is verified did not come so far. */
  readonly status: 'passed' | 'failed' | 'notDeclared' | 'notRun';
  readonly expected: string;
  /** What was seen instead, why it was not run, or what was refused, as it may be, where it passed. */
  readonly saw?: string;
  /** The last lines that a trainer wrote to stderr meanwhile, where it failed. */
  readonly stderr?: string;
  readonly seconds: number;
}

/** What is verified did something else than the contract says. */
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

/** The checks of these names, in their order. @throws UserError `check_unknown` */
export function chosenChecks<C extends { readonly name: string }>(
  checks: readonly C[],
  only: readonly string[] | undefined,
): readonly C[] {
  const names = checks.map(({ name }) => name);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new UserError('check_unknown', `There is no check ${JSON.stringify(unknown)}.`, {
      hint: `The checks are ${names.join(', ')}.`,
    });
  }
  return checks.filter(({ name }) => only === undefined || only.includes(name));
}

/** Whether no check failed or could not be run. */
export function haveAllPassed(results: readonly CheckResult[]): boolean {
  return results.every(({ status }) => status === 'passed' || status === 'notDeclared');
}

/** Runs one check; whatever it throws fails it. @param run may return, as a text, what was refused as it may be */
export async function resultOf(name: string, expects: string, run: () => Promise<unknown>): Promise<CheckResult> {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 10) / 100;
  try {
    const refused = await run();
    const saw = typeof refused === 'string' ? { saw: refused } : {};
    return { name, status: 'passed', expected: expects, ...saw, seconds: seconds() };
  } catch (error) {
    const isDeviation = error instanceof Deviation;
    const expected = isDeviation ? error.expected : expects;
    return { name, status: 'failed', expected, saw: isDeviation ? error.saw : show(error), seconds: seconds() };
  }
}
