import type { PlannedStage } from '../recipe/plan.js';
import type { StageOutputUris } from './stage-runner.js';

/** Input name to the URI of what it takes, or a list of them. */
type StageInputUris = Readonly<Record<string, string | readonly string[]>>;

/** What the stage's references stand for, once all of them exist; undefined before. */
export function inputUris(
  stage: PlannedStage,
  outputs: ReadonlyMap<string, StageOutputUris>,
): StageInputUris | undefined {
  const inputs: Record<string, string | string[]> = {};
  for (const [name, reference] of Object.entries(stage.inputs)) {
    const references = [reference].flat();
    const uris = references.map(({ stage: from, output }) => outputs.get(from)?.[output]);
    if (uris.some((uri) => uri === undefined)) return undefined;
    inputs[name] = Array.isArray(reference) ? (uris as string[]) : uris[0]!;
  }
  return inputs;
}

/** The stages whose outputs a stage takes, each once. */
export function stagesNeeded(stage: PlannedStage): readonly string[] {
  return [...new Set(Object.values(stage.inputs).flatMap((reference) => [reference].flat().map((each) => each.stage)))];
}

/** What the stage key covers of the inputs: their content, by its digest. */
export function inputDigests(inputs: StageInputUris): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, uris]) => [
      name,
      typeof uris === 'string' ? digestOf(uris) : uris.map((uri) => digestOf(uri)),
    ]),
  );
}

function digestOf(uri: string): string {
  const digest = /^simmer:\/\/[a-z]+\/sha256-([0-9a-f]{64})$/.exec(uri)?.[1];
  if (digest === undefined) throw new Error(`not the URI of an artifact: ${uri}`);
  return digest;
}
