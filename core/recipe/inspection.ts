import { suggestion } from '../document/nearest-name.js';
import { UserError } from '../errors.js';
import type { ParsedRecipe } from './load-recipe.js';
import type { Plan } from './plan.js';
import { neededFor } from './stage-order.js';

export interface Inspection {
  /** Name of a training stage. */
  readonly stage: string;
  /** Positions of rows in its dataset, from 0. */
  readonly rows: readonly number[];
}

/**
 * The recipe up to a training stage, with that stage's `inspect` in its place: what a plugin's `train` takes, its
 * `inspect` takes as well, and `rows`. Without sinks: a tracker of experiments would have a run of it that trains nothing.
 *
 * @param plan of the whole recipe
 * @throws UserError `stage_not_found`, `not_a_training`
 */
export function inspectionOf(recipe: ParsedRecipe, plan: Plan, { stage, rows }: Inspection): ParsedRecipe {
  const planned = plan.stages.find(({ name }) => name === stage);
  const trainings = plan.stages.filter(({ uses }) => uses.endsWith('/train')).map(({ name }) => name);
  const those = trainings.length === 0 ? 'The recipe trains nothing.' : `Training stages: ${trainings.join(', ')}.`;
  if (planned === undefined) {
    throw new UserError('stage_not_found', `There is no stage "${stage}" in ${recipe.file}.`, {
      hint: suggestion(stage, trainings) ?? those,
    });
  }
  if (!trainings.includes(stage)) {
    throw new UserError('not_a_training', `The stage "${stage}" (${planned.uses}) trains nothing.`, { hint: those });
  }
  const dependencies = plan.stages.map(({ name, inputs }) => {
    const references = Object.values(inputs).flat();
    return [name, references.map((reference) => reference.stage)] as const;
  });
  const needed = neededFor(stage, new Map(dependencies));
  const tree = structuredClone(recipe.overridden.value) as {
    stages: Record<string, { uses: string; with?: object }>;
    sinks?: unknown;
  };
  delete tree.sinks;
  for (const name of Object.keys(tree.stages)) if (!needed.has(name)) delete tree.stages[name];
  const at = tree.stages[stage]!;
  at.uses = planned.uses.replace(/\/train$/, '/inspect');
  at.with = { ...at.with, rows };
  return { ...recipe, inspects: stage, overridden: { ...recipe.overridden, value: tree } };
}
