import { defineStage, input, requireColumns, workInThreads } from 'simmerkit';
import { type QualityOptions, qualityOptions } from './options.js';
import { patternProblems } from './pattern-problems.js';
import { sieveFacts } from './row-facts.js';
import type { FoundDrops } from './sieve.js';
import { sieveOutputs } from './sieve-outputs.js';

export const quality = defineStage({
  description:
    'Drops rows whose text is broken, needs a picture, is too short or long, repeats itself, or is in another language.',
  options: qualityOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and `question`.') },
  outputs: sieveOutputs,
  check: ({ drop }) =>
    drop.flatMap(({ pattern, flags }, index) => patternProblems(`drop.${index}.pattern`, pattern, flags)),
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { gatherDrops, sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const limited = Object.entries(options.length).flatMap(([column, limit]) => (limit === undefined ? [] : [column]));
    const needed = [
      'question',
      ...[...options.drop, ...options.repetition].map((rule) => rule.column),
      ...(options.language === undefined ? [] : [options.language.column]),
      ...limited,
    ];
    requireColumns(inputs.dataset, ['id', ...needed], 'The dataset');
    const read = 'source' in inputs.dataset.columns ? [...needed, 'source'] : needed;
    const module = new URL('./quality.work.js', import.meta.url);
    const isUnbounded = options.drop.length > 0;
    const work = { columns: [...new Set(read)], module, settings: options, unit: 'rows', isUnbounded };
    const drops = await gatherDrops(workInThreads<QualityOptions, FoundDrops>(context, inputs.dataset, work));
    return await sieve(context, inputs.dataset, (at) => drops.get(at));
  },
});
