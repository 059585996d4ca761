import type { ArtifactStore, StageCacheEntry } from '../artifacts/artifact-store.js';
import { usdPerHour } from '../config/hardware.js';
import type { Settings } from '../config/settings.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { EstimateJob, Facts, StageEstimate, WorkEstimate } from '../plugin/estimate.js';
import type { Plan, PlannedStage } from '../recipe/plan.js';
import { stageKey } from '../recipe/stage-key.js';
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
}

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
    const estimate = await definition.estimate?.(stage.options, {
      inputs,
      recipeFolder: plan.recipeFolder,
      cacheFolder: settings.cacheFolder,
      trainer: (name) => jobs.get(name) ?? (() => undefined),
    });
    const entry = await cached(stage, plan, store, made);
    if (entry !== undefined) made.set(stage.name, entry.outputs);
    facts.set(stage.name, await outputFacts(stage, estimate, entry, store));
    forecasts.push(entry === undefined ? forecastOf(stage, estimate, plan) : { stage: stage.name, isDone: true });
  }
  return forecasts;
}

async function jobsOf(stage: PlannedStage, plan: Plan, catalog: PluginCatalog) {
  const jobs = new Map<string, EstimateJob>();
  for (const name of stage.trainers) {
    const planned = plan.trainers[name]!;
    const { definition } = await catalog.trainer(planned.uses);
    const { gpus = 0, nodes = 1, hardware } = planned.resources;
    const known = plan.hardware?.[hardware ?? ''];
    const place = { gpus, nodes, ...(known === undefined ? {} : { hardware: known }) };
    jobs.set(name, (job) => definition.estimate?.(job, planned.options, place));
  }
  return jobs;
}

async function cached(
  stage: PlannedStage,
  plan: Plan,
  store: ArtifactStore,
  made: ReadonlyMap<string, StageOutputUris>,
): Promise<StageCacheEntry | undefined> {
  const uris = inputUris(stage, made);
  return uris && (await store.stages.lookup(stageKey(stage, plan, inputDigests(uris))));
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
    facts[output] = { ...facts[output], ...expected };
  for (const [output, uri] of Object.entries(entry?.outputs ?? {})) {
    const artifact = await store.open(uri);
    facts[output] = { ...facts[output], ...('rowCount' in artifact ? { rows: artifact.rowCount } : {}) };
  }
  return facts;
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
  const needed = work.memory?.reduce((sum, { bytes }) => sum + bytes, 0);
  const memoryBytes = holders.map((held) => plan.hardware?.[held.hardware ?? '']?.memoryBytes).find(Boolean);
  return {
    ...base,
    ...work,
    ...(hours === undefined || price === undefined ? {} : { usd: hours * price + (asked ?? 0) }),
    ...(hours === undefined && asked !== undefined ? { usd: asked } : {}),
    ...(hours === undefined ? {} : { gpuHours: hours * gpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(needed === undefined || memoryBytes === undefined ? {} : { fits: needed <= usableShare * memoryBytes }),
  };
}
