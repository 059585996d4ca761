import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact, TableArtifact } from '../artifacts/artifact.js';
import type { ArtifactStore, StageCacheEntry } from '../artifacts/artifact-store.js';
import { usdPerHour } from '../config/hardware.js';
import type { Settings } from '../config/settings.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { checkAnswer } from '../plugin/check-answer.js';
import type { EstimateJob, Facts, StageEstimate, StageEstimateContext, WorkEstimate } from '../plugin/estimate.js';
import { guardedAnswer } from '../recipe/checked-options.js';
import type { Json, Plan, PlannedStage } from '../recipe/plan.js';
import { keptDigest, stageKey } from '../recipe/stage-key.js';
import { type LastTime, lastTimes } from './last-times.js';
import { inputDigests, inputUris } from './stage-inputs.js';
import type { StageOutputUris } from './stage-runner.js';

/** What a stage of a plan will take. */
export interface StageForecast extends WorkEstimate {
  readonly stage: string;
  /** Its outputs are there: it takes nothing. */
  readonly isDone: boolean;
  /** Hardware and what it asks of others, in dollars; absent where time or price is not known. */
  readonly usd?: number;
  readonly gpuHours?: number;
  /** Of one accelerator, as the hardware has it. */
  readonly memoryBytes?: number;
  /** Whether one accelerator has what it takes; absent where that is not known. */
  readonly fits?: boolean;
  /** In an earlier run of the recipe: one with the same options, where there is one. */
  readonly lastTook?: LastTime;
}

const unsaid = 'its plugin does not say what it takes.';

/** An allocator that is filled to the brim fails sooner. */
const usableShare = 0.95;

/** What each stage of a plan will take, in plan order. What is there already is not counted. */
export async function estimatePlan(
  plan: Plan,
  catalog: PluginCatalog,
  store: ArtifactStore,
  settings: Settings,
): Promise<readonly StageForecast[]> {
  await using _kept = catalog.keepProcesses();
  const facts = new Map<string, Readonly<Record<string, Facts>>>();
  const made = new Map<string, StageOutputUris>();
  const forecasts: StageForecast[] = [];
  for (const stage of plan.stages) {
    const { definition } = await catalog.stage(stage.uses);
    const inputs = Object.fromEntries(
      Object.entries(stage.inputs).map(([name, references]) => {
        const found = [references].flat().map(({ stage: from, output }) => facts.get(from)?.[output] ?? {});
        return [name, Array.isArray(references) ? found : found[0]];
      }),
    );
    const jobs = await jobsOf(stage, plan, catalog);
    const key = keyOf(stage, plan, made);
    const said = await estimated(stage.uses, async () =>
      definition.estimate?.(stage.options, {
        inputs,
        recipeFolder: plan.recipeFolder,
        cacheFolder: settings.cacheFolder,
        trainer: (name) => jobs.get(name) ?? (async () => ({ notes: [unsaid] })),
        grader: graderIn(catalog, plan, store),
        kept: (of) => store.keptFolders(keptDigest(stage, of), key),
      }),
    );
    const estimate = said ?? (asksOthers(stage) ? { notes: [unsaid] } : undefined);
    const entry = key === undefined ? undefined : await store.stages.lookup(key);
    if (entry !== undefined) made.set(stage.name, entry.outputs);
    facts.set(stage.name, await outputFacts(stage, estimate, entry, store));
    forecasts.push(entry === undefined ? forecastOf(stage, estimate, plan) : { stage: stage.name, isDone: true });
  }
  return withLastTimes(forecasts, plan, store);
}

/** What a plugin says that something takes. @throws UserError `plugin_failed`, naming it */
function estimated<T>(uses: string, estimate: () => Promise<T>): Promise<T> {
  return guardedAnswer(uses, async () => checkAnswer(uses, 'estimate', await estimate()), 'it was estimated');
}

async function withLastTimes(forecasts: readonly StageForecast[], plan: Plan, store: ArtifactStore) {
  const names = forecasts.flatMap(({ stage, isDone }) => (isDone ? [] : [stage]));
  const times = await lastTimes(plan, names, store);
  return forecasts.map((forecast) => {
    const lastTook = times.get(forecast.stage);
    return lastTook === undefined ? forecast : { ...forecast, lastTook };
  });
}

async function jobsOf(stage: PlannedStage, plan: Plan, catalog: PluginCatalog) {
  const jobs = new Map<string, EstimateJob>();
  for (const name of stage.trainers) {
    const planned = plan.trainers[name]!;
    const { definition } = await catalog.trainer(planned.uses);
    const { gpus = 0, nodes = 1, hardware } = planned.resources;
    const known = plan.hardware?.[hardware ?? ''];
    const place = { gpus, nodes, ...(known === undefined ? {} : { hardware: known }) };
    const estimate: EstimateJob = async (job) =>
      (await estimated(planned.uses, async () => definition.estimate?.(job, planned.options, place))) ?? {
        notes: [unsaid],
      };
    jobs.set(name, estimate);
  }
  return jobs;
}

function graderIn(
  catalog: PluginCatalog,
  { seed }: Pick<Plan, 'seed'>,
  store: ArtifactStore,
): StageEstimateContext['grader'] {
  return async ({ uses, with: given }, answers) => {
    const { definition } = await catalog.grader(uses);
    const options = definition.options.parse(given);
    // Its own folder is that of a run, which there is not yet.
    const kept = (of: object) => store.keptFolders(keptDigest({ uses, seed }, of));
    const said = await estimated(uses, async () => definition.estimate?.(answers, options, { kept }));
    return said ?? (namesServer(options as Json) ? { notes: [unsaid] } : undefined);
  };
}

/** Whether a stage takes more than a core of this machine: a trainer, or a server. */
function asksOthers({ trainers, options }: PlannedStage): boolean {
  return trainers.length > 0 || namesServer(options);
}

/** Options name servers by `url`, as those of graders inside of them do. */
function namesServer(value: Json): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([key, inner]) => (key === 'url' && typeof inner === 'string') || namesServer(inner),
  );
}

/** Undefined where its inputs are not there yet. */
function keyOf(stage: PlannedStage, plan: Plan, made: ReadonlyMap<string, StageOutputUris>): string | undefined {
  const uris = inputUris(stage, made);
  return uris && stageKey(stage, plan, inputDigests(uris));
}

/** What is said in the recipe goes before what the plugin thinks, and what is there before both. */
async function outputFacts(
  stage: PlannedStage,
  estimate: StageEstimate | undefined,
  entry: StageCacheEntry | undefined,
  store: ArtifactStore,
): Promise<Readonly<Record<string, Facts>>> {
  const facts: Record<string, Facts> = { ...estimate?.outputs };
  for (const [output, expected] of Object.entries(stage.expect ?? {}))
    facts[output] = { ...facts[output], ...('rows' in expected ? { isAtMost: false } : {}), ...expected };
  for (const [output, uri] of Object.entries(entry?.outputs ?? {}))
    facts[output] = { ...facts[output], ...(await factsOf(await store.open(uri))) };
  return facts;
}

/** What an artifact that is there says without its rows or weights being read. */
async function factsOf(artifact: Artifact | TableArtifact): Promise<Facts> {
  if ('rowCount' in artifact) return { rows: artifact.rowCount, isAtMost: false };
  if (artifact.type !== 'model') return {};
  const config = await readFile(join(artifact.folder, 'config.json'), 'utf8').catch(() => undefined);
  return { uri: artifact.uri, ...(config === undefined ? {} : { config: JSON.parse(config) as Json }) };
}

function forecastOf(stage: PlannedStage, estimate: StageEstimate | undefined, plan: Plan): StageForecast {
  const base = { stage: stage.name, isDone: false };
  if (estimate === undefined) return base;
  const { outputs: _, usd: asked, ...work } = estimate;
  const holders = [stage.resources, ...stage.trainers.map((name) => plan.trainers[name]!.resources)];
  // What names no hardware has no price: it is the user's own machine.
  const isPriced = holders.some((held) => held.hardware !== undefined);
  const prices = holders.map((held) => usdPerHour(plan.hardware?.[held.hardware ?? ''], held));
  const gpus = holders.reduce((sum, held) => sum + (held.gpus ?? 0), 0);
  const hours = work.seconds === undefined ? undefined : work.seconds / 3600;
  const price =
    !isPriced || prices.includes(undefined) ? undefined : prices.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  const held = hours === undefined || price === undefined ? undefined : hours * price;
  const needed = work.memory?.reduce((sum, { bytes }) => sum + bytes, 0);
  const memoryBytes = holders.map(({ hardware }) => plan.hardware?.[hardware ?? '']?.memoryBytes).find(Boolean);
  return {
    ...base,
    ...work,
    ...(held === undefined && asked === undefined ? {} : { usd: (held ?? 0) + (asked ?? 0) }),
    ...(hours === undefined ? {} : { gpuHours: hours * gpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(needed === undefined || memoryBytes === undefined ? {} : { fits: needed <= usableShare * memoryBytes }),
  };
}
