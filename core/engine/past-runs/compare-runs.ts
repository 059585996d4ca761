import { isUserError } from '../../errors.js';
import type { Event, EventData } from '../../events/catalogue.js';
import { figuresByName } from '../../metrics/measured-figures.js';
import type { Json, Plan } from '../../recipe/plan.js';
import type { RunSummary } from '../run-outcome.js';
import { foldRunState, initialRunState, type RunState } from '../run-state.js';

/** What a training stage came to. */
interface ComparedTraining {
  readonly steps: number;
  /** Of the last step that was logged, in nats; null where it was no number. */
  readonly loss: number | null;
  /** Of the last evaluation, or of the best one where the model is that of it; in nats. */
  readonly evaluationLoss?: number;
}

/** A run beside others. */
export interface ComparedRun {
  readonly runId: string;
  readonly recipe: string;
  readonly status: RunSummary['status'];
  readonly startedAt: string;
  /** Without the pauses between an interruption and a resume. */
  readonly seconds: number;
  readonly usd: number;
  /**
   * What is not the same in all of them, by path: "params.rate", "seed", "stages.tuned.with.learningRate".
   * Options that have the value of a param are not named beside it. Null: it has no such thing. Of a stage or a trainer that
   * a run does not have, only the `uses` is null; where its `until` left them out, they are not named.
   * "stages.tuned.code" is the beginning of the digest of a stage's code, with that of its graders: where it was changed
   * under one version of Simmer. Of several stages with one code the first is named.
   */
  readonly differs: Readonly<Record<string, Json>>;
  /** By stage. */
  readonly trainings: Readonly<Record<string, ComparedTraining>>;
  /** By name, as they were measured last; by `STAGE/NAME` where several stages of the run measured one of that name. */
  readonly metrics: Readonly<Record<string, EventData['metric.measured']>>;
}

/** Where what is known of runs is read. */
export interface RunsSource {
  planOf(run: RunSummary): Promise<Plan>;
  /** The events that there are, perhaps without telemetry that more of its kind followed before the next fact. */
  briefHistory(run: RunSummary): AsyncIterable<Event>;
  /** @throws UserError where there is no such run any more */
  find(runId: string): Promise<RunSummary>;
}

/**
 * Sets runs side by side, in the order in which they are given. Each log is read once.
 * @param optional ids of runs that are left out where they trained nothing and measured nothing, and others did: such a
 * one has nothing to compare, and may differ in everything
 */
export async function compareRuns(
  runs: readonly RunSummary[],
  source: RunsSource,
  optional: ReadonlySet<string> = new Set(),
): Promise<readonly ComparedRun[]> {
  const read = new Map<string, Promise<ToldRun>>();
  const told = (run: RunSummary) => {
    const reading = read.get(run.runId) ?? readRun(source.briefHistory(run));
    read.set(run.runId, reading);
    return reading;
  };
  const all: { readonly plan: Plan; readonly run: Omit<ComparedRun, 'differs'> }[] = [];
  for (const run of runs) {
    const { state, trainings, madeBy } = await told(run);
    const plan = await source.planOf(run);
    const stages = plan.stages.map(({ name }) => name);
    const trained: Record<string, ComparedTraining> = {};
    for (const stage of stages) {
      const key = state.stages[stage]?.key;
      if (key === undefined) continue;
      const maker = madeBy.get(key);
      const training = trainings.get(key) ?? (maker === undefined ? undefined : await trainingOf(key, maker));
      if (training !== undefined) trained[stage] = training;
    }
    const metrics = [...figuresByName(state.figures, stages)].map(([name, { figure }]) => [name, figure] as const);
    const { runId, recipe, status, startedAt } = run;
    const took = { seconds: state.activeSeconds, usd: state.spending.usd };
    const made = { trainings: trained, metrics: Object.fromEntries(metrics) };
    all.push({ plan, run: { runId, recipe, status, startedAt, ...took, ...made } });
  }
  const hasFigures = ({ run }: (typeof all)[number]) => Object.keys({ ...run.trainings, ...run.metrics }).length > 0;
  const isShown = (one: (typeof all)[number]) => hasFigures(one) || !optional.has(one.run.runId);
  const shown = all.filter(hasFigures).length >= 2 ? all.filter(isShown) : all;
  const differences = differencesOf(shown.map(({ plan }) => plan));
  return shown.map(({ run }, index) => ({ ...run, differs: differences[index] ?? {} }));

  /** How a model was trained that an earlier run made, as long as that one is there. */
  async function trainingOf(key: string, maker: string): Promise<ComparedTraining | undefined> {
    try {
      return (await told(await source.find(maker))).trainings.get(key);
    } catch (error) {
      if (isUserError(error)) return undefined;
      throw error;
    }
  }
}

/** What one log says. */
interface ToldRun {
  readonly state: RunState;
  /** By the key of their stage. */
  readonly trainings: ReadonlyMap<string, ComparedTraining>;
  /** Which run made what was reused, by the key of the stage. */
  readonly madeBy: ReadonlyMap<string, string>;
}

async function readRun(events: AsyncIterable<Event>): Promise<ToldRun> {
  let state = initialRunState;
  const trainings = new Map<string, ComparedTraining>();
  const madeBy = new Map<string, string>();
  for await (const event of events) {
    state = foldRunState(state, event);
    if (event.type === 'stage.reused' && event.data.madeBy !== undefined) madeBy.set(event.data.key, event.data.madeBy);
    const key = state.stages[event.stage ?? '']?.key;
    const training = key === undefined ? undefined : afterEvent(trainings.get(key), event);
    if (key !== undefined && training !== undefined) trainings.set(key, training);
  }
  return { state, trainings, madeBy };
}

function afterEvent(before: ComparedTraining | undefined, event: Event): ComparedTraining | undefined {
  switch (event.type) {
    case 'step.logged':
      return { ...before, steps: event.data.step, loss: event.data.loss };
    case 'evaluation.logged':
      return { steps: event.data.step, loss: null, ...before, evaluationLoss: event.data.loss };
    case 'training.completed': {
      const { steps, finalLoss, evaluationLoss } = event.data;
      const evaluated = evaluationLoss === undefined ? {} : { evaluationLoss };
      return { loss: finalLoss, ...before, steps, ...evaluated };
    }
    default:
      return before;
  }
}

/** For each plan what of it is not the same in all. */
function differencesOf(plans: readonly Plan[]): readonly Readonly<Record<string, Json>>[] {
  const given = plans.map(givenIn);
  const derived = plans.map(derivedIn);
  const givenPaths = pathsThatDiffer(given);
  const isOneRecipe = new Set(plans.map(({ recipe }) => recipe)).size === 1;
  const isOfTwoVersions = new Set(plans.map(({ simmerVersion }) => simmerVersion)).size > 1;
  const derivedPaths = pathsThatDiffer(derived).filter((path, place, all) => {
    // What has in each run the value of a param, or the recipe's seed, follows from it.
    const follows = givenPaths.some((other) =>
      derived.every((values, index) => lacksPart(values, path) || isSame(values[path], given[index]?.[other])),
    );
    // Recipes of two names have stages of their own.
    const isComparable = isOneRecipe || derived.every((values) => path in values);
    if (!isComparable || follows) return false;
    if (!isCode(path)) return true;
    const isFirst = all.findIndex((other) => derived.every((values) => isSame(values[other], values[path]))) === place;
    return isFirst && !isOfTwoVersions && isCodeChanged(derived, path);
  });
  return derived.map((values, index) => {
    const told = derivedPaths.filter((path) => !lacksPart(values, path));
    return Object.fromEntries([
      ...givenPaths.map((path) => [path, given[index]?.[path] ?? null] as const),
      ...told.map((path) => [path, values[path] ?? null] as const),
    ]);
  });
}

type Values = Readonly<Record<string, Json>>;

function pathsThatDiffer(plans: readonly Values[]): readonly string[] {
  const paths = new Set(plans.flatMap((values) => Object.keys(values)));
  return [...paths].filter((path) => {
    const having = plans.filter((values) => !lacksPart(values, path));
    return having.some((values) => !isSame(values[path], having[0]?.[path]));
  });
}

/**
 * Whether a plan has no such stage or trainer at all, which its `uses` says once for all that the others have in it; or
 * its `until`, for all that it leaves out.
 */
function lacksPart(values: Values, path: string): boolean {
  const part = /^(?:stages|trainers)\.[^.]+/.exec(path)?.[0];
  if (part === undefined || `${part}.uses` in values) return false;
  return path !== `${part}.uses` || 'until' in values;
}

function isCode(path: string): boolean {
  return /^(?:stages|trainers)\.[^.]+\.code$/.test(path);
}

/** Whether code is another one where the same stage and graders, or the same trainer, are named. */
function isCodeChanged(plans: readonly Values[], path: string): boolean {
  const part = path.slice(0, path.lastIndexOf('.') + 1);
  const codes = new Map<string, Json>();
  return plans.some((values) => {
    const code = values[path];
    if (code === undefined) return false;
    const named = Object.entries(values).filter(([key]) => key.startsWith(part) && key.endsWith('.uses'));
    const known = codes.get(JSON.stringify(named));
    codes.set(JSON.stringify(named), code);
    return known !== undefined && known !== code;
  });
}

function isSame(one: Json | undefined, other: Json | undefined): boolean {
  return JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
}

function givenIn({ recipe, seed, params }: Plan): Values {
  return { recipe, seed, ...flattened('params', params) };
}

/** Hex digits of a digest that people are shown, as of a plan. */
const digestLength = 12;

/** What of a plan decides what comes out, besides what is given. */
function derivedIn({ simmerVersion, until, trainers, stages }: Plan): Values {
  const values: Record<string, Json> = { simmerVersion, ...(until === undefined ? {} : { until }) };
  for (const [name, { uses, semanticOptions, relevantVersions, codeDigest }] of Object.entries(trainers)) {
    const path = `trainers.${name}`;
    Object.assign(
      values,
      { [`${path}.uses`]: uses, [`${path}.code`]: codeDigest.slice(0, digestLength) },
      flattened(`${path}.with`, semanticOptions),
      flattened(`${path}.versions`, relevantVersions),
    );
  }
  for (const { name, uses, semanticOptions, seed, codeDigest, graderVersions = [] } of stages) {
    const path = `stages.${name}`;
    Object.assign(
      values,
      { [`${path}.uses`]: uses, [`${path}.seed`]: seed, [`${path}.code`]: codeDigest.slice(0, digestLength) },
      flattened(`${path}.with`, semanticOptions),
      ...graderVersions.map(({ uses, versions }) => flattened(`${path}.graders.${uses}.versions`, versions)),
    );
  }
  return values;
}

function flattened(path: string, value: Json): Record<string, Json> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { [path]: value };
  return Object.assign({}, ...Object.entries(value).map(([key, inner]) => flattened(`${path}.${key}`, inner)));
}
