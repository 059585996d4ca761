import type { Plan } from '../recipe/plan.js';
import type { StagePreview } from './run-outcome.js';

/** A secret that is not set, and what will fail for it. */
export interface MissingSecret {
  readonly variable: string;
  /** Names of stages that name it. */
  readonly stages: readonly string[];
  /** Trainers that name it, or whose launchers do, and that such stages use. */
  readonly trainers: readonly string[];
  /** Sinks that name it: `plugin/sink`. */
  readonly sinks: readonly string[];
}

/** Secrets that a plan names and that the environment lacks; of stages that the cache has nothing is asked. */
export async function missingSecrets(
  plan: Plan,
  preview: () => Promise<readonly StagePreview[]>,
): Promise<readonly MissingSecret[]> {
  const lacking = { stages: unsetIn(plan.stages), trainers: unsetIn(Object.values(plan.trainers)) };
  const previews = lacking.stages.length + lacking.trainers.length === 0 ? [] : await preview();
  const hits = new Set(previews.filter(({ cache }) => cache === 'hit').map(({ stage }) => stage));
  const used = new Set(plan.stages.flatMap((stage) => (hits.has(stage.name) ? [] : stage.trainers)));
  const stages = lacking.stages.filter(({ name }) => !hits.has(name));
  const trainers = lacking.trainers.filter(({ name }) => used.has(name));
  const sinks = unsetIn(plan.sinks.map(({ uses, secrets }) => ({ name: uses, secrets })));
  const variables = new Set([...stages, ...trainers, ...sinks].flatMap(({ unset }) => unset));
  return [...variables].map((variable) => {
    const namesOf = (parts: typeof stages) =>
      parts.filter(({ unset }) => unset.includes(variable)).map(({ name }) => name);
    return { variable, stages: namesOf(stages), trainers: namesOf(trainers), sinks: namesOf(sinks) };
  });
}

function unsetIn(parts: readonly { readonly name: string; readonly secrets?: readonly string[] | undefined }[]) {
  return parts
    .map(({ name, secrets = [] }) => ({ name, unset: secrets.filter(isUnset) }))
    .filter(({ unset }) => unset.length > 0);
}

/** What people are told of one, before hours of other stages have gone by. */
export function missingSecretLine({ variable, stages, trainers, sinks }: MissingSecret): string {
  const those = [...listed('stage', stages), ...listed('trainer', trainers), ...listed('sink', sinks)].join(' and ');
  const need = stages.length + trainers.length + sinks.length === 1 ? 'needs' : 'need';
  return `The environment variable ${variable}, which ${those} ${need}, is not set.`;
}

function listed(what: string, names: readonly string[]): readonly string[] {
  return names.length === 0 ? [] : [`${what}${names.length === 1 ? '' : 's'} ${names.join(', ')}`];
}

function isUnset(variable: string): boolean {
  return (process.env[variable] ?? '') === '';
}
