import { defineStage, input, manyInputs, requireColumns, type TableArtifact, textIn } from 'simmerkit';
import { difficultyOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';

export const difficulty = defineStage({
  description: 'Drops problems that a model answers rightly: they are too easy to learn from.',
  options: difficultyOptions,
  inputs: {
    dataset: input('dataset', 'Problems.'),
    graded: manyInputs('dataset', 'Graded answers of models to them, from eval/grade.'),
  },
  outputs: sieveOutputs,
  async run(context) {
    const { sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    requireColumns(inputs.dataset, ['id'], 'The dataset');
    const tooEasy = new Map<string, string>();
    for (const table of inputs.graded) {
      for (const [id, { model, right, samples }] of await readVerdicts(table)) {
        if (right / samples <= options.maximumRight || tooEasy.has(id)) continue;
        tooEasy.set(id, `${model} was right in ${right} of ${samples}`);
      }
    }
    return await sieve(context, inputs.dataset, (row) => {
      const evidence = tooEasy.get(textIn(row, 'id') ?? '');
      return evidence === undefined ? undefined : { rule: 'too_easy', evidence };
    });
  },
});

async function readVerdicts(graded: TableArtifact) {
  requireColumns(graded, ['prompt_id', 'model', 'verdict'], 'A graded dataset');
  const verdicts = new Map<string, { readonly model: string; right: number; samples: number }>();
  for await (const row of graded.rows()) {
    const id = textIn(row, 'prompt_id') ?? '';
    const tally = verdicts.get(id) ?? { model: textIn(row, 'model') ?? '', right: 0, samples: 0 };
    tally.samples++;
    if (textIn(row, 'verdict') === 'right') tally.right++;
    verdicts.set(id, tally);
  }
  return verdicts;
}
