import { defineStage, input, manyInputs, type Row, requireColumns, type TableArtifact, textIn } from 'simmerkit';
import { type DifficultyOptions, difficultyOptions } from './options.js';
import type { Drop, Keep } from './sieve.js';
import { sieveOutputs } from './sieve-outputs.js';

export const difficulty = defineStage({
  description: 'Drops problems that a model answers rightly too often to learn from them, or too seldom.',
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
    const tallies = new Map<string, Tally[]>();
    for (const table of inputs.graded) {
      for (const [id, tally] of await readVerdicts(table)) tallies.set(id, [...(tallies.get(id) ?? []), tally]);
    }
    const verdict = (row: Row) => judge(tallies.get(textIn(row, 'id') ?? '') ?? [], options);
    return await sieve(context, inputs.dataset, verdict, { read: ['id'] });
  },
});

interface Tally {
  readonly model: string;
  right: number;
  samples: number;
}

function judge(tallies: readonly Tally[], options: DifficultyOptions): Drop | Keep {
  if (tallies.length === 0)
    return options.unanswered === 'drop' ? { rule: 'not_answered' } : { kept: true, evidence: 'no model answered it' };
  const share = ({ right, samples }: Tally) => right / samples;
  const tooEasy = tallies.find((tally) => share(tally) > options.maximumRight);
  if (tooEasy !== undefined) return { rule: 'too_easy', evidence: evidenceOf(tooEasy) };
  const evidence = tallies.map(evidenceOf).join('; ');
  if (tallies.every((tally) => share(tally) < options.minimumRight)) return { rule: 'too_hard', evidence };
  return { kept: true, evidence };
}

function evidenceOf({ model, right, samples }: Tally): string {
  return `${model} was right in ${right} of ${samples}`;
}

async function readVerdicts(graded: TableArtifact) {
  requireColumns(graded, ['prompt_id', 'model', 'verdict'], 'A graded dataset');
  const verdicts = new Map<string, Tally>();
  for await (const row of graded.rows()) {
    const id = textIn(row, 'prompt_id') ?? '';
    const tally = verdicts.get(id) ?? { model: textIn(row, 'model') ?? '', right: 0, samples: 0 };
    tally.samples++;
    if (textIn(row, 'verdict') === 'right') tally.right++;
    verdicts.set(id, tally);
  }
  return verdicts;
}
