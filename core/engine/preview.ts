import type { StageCache } from '../artifacts/artifact-store.js';
import type { Plan } from '../recipe/plan.js';
import { stageKey } from '../recipe/stage-key.js';
import type { StagePreview } from './run-outcome.js';
import { inputDigests, inputUris } from './stage-inputs.js';
import type { StageOutputUris } from './stage-runner.js';

/** What a run of the plan would find in the cache, in plan order. Runs nothing. */
export async function previewPlan(plan: Plan, cache: StageCache): Promise<readonly StagePreview[]> {
  return (await findMade(plan, cache)).previews;
}

/** As `previewPlan`, with the outputs of the stages that it finds, by their names. */
export async function findMade(
  plan: Plan,
  cache: StageCache,
): Promise<{ readonly previews: readonly StagePreview[]; readonly outputs: ReadonlyMap<string, StageOutputUris> }> {
  const outputs = new Map<string, StageOutputUris>();
  const previews: StagePreview[] = [];
  for (const stage of plan.stages) {
    const inputs = inputUris(stage, outputs);
    if (inputs === undefined) {
      previews.push({ stage: stage.name, key: null, cache: 'unknown' });
      continue;
    }
    const key = stageKey(stage, plan, inputDigests(inputs));
    const entry = await cache.lookup(key);
    if (entry !== undefined) outputs.set(stage.name, entry.outputs);
    previews.push({ stage: stage.name, key, cache: entry === undefined ? 'miss' : 'hit' });
  }
  return { previews, outputs };
}
