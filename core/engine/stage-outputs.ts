import { from, fromEvent, isObservable, lastValueFrom, takeUntil } from 'rxjs';
import { concatMap } from 'rxjs/operators';
import type { Artifact } from '../artifacts/artifact.js';
import { describeValue, isMapValue } from '../document/describe-value.js';
import { UserError } from '../errors.js';
import type { OutputDefinitions, StageEmission, StageEvent, StageOutputs, StageRun } from '../plugin/definitions.js';

type Emission = StageEmission<OutputDefinitions>;
type Outputs = StageOutputs<OutputDefinitions>;

/**
 * Lifts what a stage's `run` returned and follows it to its end: the one place that subscribes. An async iterable is
 * pulled, the next event only once the last is durable; an observable goes at its own pace and is queued.
 *
 * @returns the outputs as the stage gave them, not yet checked
 */
export async function followStageRun(
  run: StageRun<OutputDefinitions>,
  emit: (event: StageEvent) => Promise<void>,
  signal: AbortSignal,
): Promise<Outputs> {
  if (!canBeFollowed(run)) {
    throw new UserError(
      'stage_run_invalid',
      `Its \`run\` returned ${describeValue(run)}, where a promise is expected.`,
      {
        kind: 'runFailed',
        hint: 'Write `async run(context)`; or return an async iterable or observable of events, the last { outputs }.',
      },
    );
  }
  if (isPromise(run)) return (await run) ?? {};
  let outputs: Outputs | undefined;
  const take = async (emission: Emission): Promise<void> => {
    if (outputs !== undefined) {
      throw new UserError('stage_emitted_after_outputs', 'It emitted something after its outputs; they come last.');
    }
    if (isMapValue(emission) && 'outputs' in emission) outputs = emission.outputs;
    else await emit(emission);
  };
  if (Symbol.asyncIterator in run) {
    for await (const emission of run) await take(emission);
  } else {
    const aborted$ = fromEvent(signal, 'abort');
    await lastValueFrom(from(run).pipe(takeUntil(aborted$), concatMap(take)), { defaultValue: undefined });
    if (outputs === undefined) signal.throwIfAborted();
  }
  return outputs ?? {};
}

/** Checks that a stage gave what it declares, each of the declared type. @throws UserError */
export function checkStageOutputs(outputs: Outputs, declared: OutputDefinitions): ReadonlyMap<string, Artifact> {
  const checked = new Map<string, Artifact>();
  const names = Object.keys(declared);
  for (const name of Object.keys(outputs)) {
    if (Object.hasOwn(declared, name)) continue;
    throw new UserError('stage_output_undeclared', `It returned the output "${name}", which it does not declare.`, {
      kind: 'runFailed',
      hint: `Declared are: ${names.join(', ') || 'none'}.`,
    });
  }
  for (const [name, { type }] of Object.entries(declared)) {
    const artifact: Artifact | undefined = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
    if (typeof artifact?.uri !== 'string') throw missing(name, artifact, names, outputs);
    if (artifact.type !== type) {
      throw new UserError(
        'stage_output_wrong_type',
        `Its output "${name}" is declared as ${type}, but what it returned is a ${artifact.type}.`,
        { kind: 'runFailed' },
      );
    }
    checked.set(name, artifact);
  }
  return checked;
}

function missing(name: string, given: unknown, names: readonly string[], outputs: Outputs): UserError {
  const hint = `It declares: ${names.join(', ')}. Each is an artifact that context.artifacts made, or an input.`;
  const refused = (message: string, more = '') =>
    new UserError('stage_output_missing', message, { kind: 'runFailed', hint: `${hint}${more}` });
  if (isPromise(given)) return refused(`Its output "${name}" is a promise.`, ' Await it before it is returned.');
  if (given !== undefined && given !== null)
    return refused(`Its output "${name}" is ${describeValue(given)}, no artifact.`);
  // What a generator returns reaches nobody.
  const last = Object.keys(outputs).length === 0 ? ' The last value of a generator is `yield { outputs: … }`.' : '';
  return refused(`It did not return its output "${name}".`, last);
}

function canBeFollowed(run: unknown): boolean {
  if (typeof run !== 'object' || run === null) return false;
  return isPromise(run) || isObservable(run) || Symbol.asyncIterator in run || Symbol.iterator in run;
}

function isPromise<T = Outputs>(value: unknown): value is Promise<T> {
  return typeof (value as Partial<Promise<T>> | undefined | null)?.then === 'function';
}
