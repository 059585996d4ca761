import type { OptionProblem, StageSource } from 'simmerkit';

/** Names of models, on each side of a comparison. */
interface Sides {
  readonly untuned: readonly string[];
  readonly tuned: readonly string[];
}

/** What is wrong with the names of compared models: one to compare with, and none of the others called like it. */
export function labelProblem({ untuned, tuned }: Sides): Required<OptionProblem> | undefined {
  if (untuned.length > 1) {
    return {
      path: 'untuned',
      code: 'label_not_unique',
      message: `\`untuned\` holds answers of several models: ${untuned.join(', ')}.`,
      hint: 'Name the one that the others are compared with there, and the others in `tuned`.',
    };
  }
  const both = tuned.find((label) => untuned.includes(label));
  if (both === undefined) return undefined;
  return {
    path: 'tuned',
    code: 'label_not_unique',
    message: `Both the untuned and a tuned model are called "${both}".`,
    hint: 'Give them different `label`s, in budget-forcing/generate or in eval/grade.',
  };
}

/** What the models are called whose graded answers a stage will make, as far as recipes tell; each once. */
export function labelsFrom(sources: readonly StageSource[]): readonly string[] {
  return [...new Set(sources.flatMap(labelsOf))];
}

function labelsOf({ uses, options, inputs }: StageSource): readonly string[] {
  switch (uses) {
    case 'eval/grade':
      return typeof options.label === 'string' ? [options.label] : labelsFrom(inputs.generations ?? []);
    case 'eval/vote':
      return labelsFrom(inputs.graded ?? []);
    case 'budget-forcing/generate':
    case 'budget-forcing/openai-compatible':
      return typeof options.label === 'string' ? [options.label] : [];
    default:
      return [];
  }
}
