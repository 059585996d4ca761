import type { Plan } from '../recipe/plan.js';
import type { StagePreview } from './run-outcome.js';

/** A secret that is not set, and the stages that will fail for it. */
export interface MissingSecret {
  readonly variable: string;
  readonly stages: readonly string[];
}

/** Secrets that stages name and that the environment lacks; of stages that the cache has nothing is asked. */
export async function missingSecrets(
  plan: Plan,
  preview: () => Promise<readonly StagePreview[]>,
): Promise<readonly MissingSecret[]> {
  const lacking = plan.stages.filter(({ secrets = [] }) => secrets.some(isUnset));
  if (lacking.length === 0) return [];
  const hits = new Set((await preview()).filter(({ cache }) => cache === 'hit').map(({ stage }) => stage));
  const left = lacking.filter(({ name }) => !hits.has(name));
  const variables = new Set(left.flatMap(({ secrets = [] }) => secrets.filter(isUnset)));
  return [...variables].map((variable) => ({
    variable,
    stages: left.filter(({ secrets = [] }) => secrets.includes(variable)).map(({ name }) => name),
  }));
}

/** What people are told of one, before hours of other stages have gone by. */
export function missingSecretLine({ variable, stages }: MissingSecret): string {
  const these = stages.length === 1 ? `stage ${stages[0]} needs` : `stages ${stages.join(', ')} need`;
  return `The environment variable ${variable}, which ${these}, is not set.`;
}

function isUnset(variable: string): boolean {
  return (process.env[variable] ?? '') === '';
}
