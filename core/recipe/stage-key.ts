import { jsonDigest } from '../document/canonical-json.js';
import { present } from '../present.js';
import type { Plan, PlannedStage, PlannedTrainer } from './plan.js';

/** Changes when what the core gives to stages changes what they make of it: artifact formats, `random`. */
const keyFormat = 1;

/**
 * What a stage's outputs depend on, as one digest: its code, its semantic options, its seed, the content of its inputs,
 * the trainers that it uses, and what its graders run with. Names, paths, places and times are no part of it.
 *
 * @param inputDigests input name to the digest of its artifact; a list for an input that takes many
 * @returns SHA-256, lower-case hex
 */
export function stageKey(
  stage: PlannedStage,
  plan: Plan,
  inputDigests: Readonly<Record<string, string | readonly string[]>>,
): string {
  const covered = {
    keyFormat,
    uses: stage.uses,
    codeDigest: stage.codeDigest,
    options: stage.semanticOptions,
    seed: stage.seed,
    inputs: inputDigests,
    trainers: stage.trainers.map((name) => semanticTrainer(plan.trainers[name]!)),
    ...present({ graderVersions: stage.graderVersions }),
  };
  return jsonDigest(covered);
}

/**
 * What stages, or graders, have in common that may share what was paid for, as a digest.
 * @param of plain JSON
 */
export function keptDigest(
  { uses, name, seed }: Pick<PlannedStage, 'uses' | 'seed'> & { readonly name?: string },
  of: object,
): string {
  return jsonDigest({ uses, name, seed, of });
}

/** What of a trainer its results depend on. */
export function semanticTrainer(trainer: PlannedTrainer): object {
  const { uses, semanticOptions, relevantVersions, codeDigest } = trainer;
  return { uses, options: semanticOptions, relevantVersions, codeDigest };
}
