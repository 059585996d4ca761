import { jsonDigest } from '../document/canonical-json.js';
import type { Plan } from './plan.js';
import { semanticTrainer } from './stage-key.js';

/**
 * What a plan will make, as one digest: two plans with the same digest give the same outputs. Where things run, and what
 * follows from it (folders, launchers, resources, sinks, sources of plugins), is no part of it.
 *
 * @returns SHA-256, lower-case hex
 */
export function planDigest(plan: Plan): string {
  const covered = {
    format: plan.format,
    recipe: plan.recipe,
    seed: plan.seed,
    trainers: Object.fromEntries(
      Object.entries(plan.trainers).map(([name, trainer]) => [name, semanticTrainer(trainer)]),
    ),
    stages: plan.stages.map(({ name, uses, semanticOptions, inputs, trainers, codeDigest, seed }) => {
      return { name, uses, semanticOptions, inputs, trainers, codeDigest, seed };
    }),
  };
  return jsonDigest(covered);
}
