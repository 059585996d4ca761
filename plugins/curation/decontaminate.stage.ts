import { defineStage, input, manyInputs, pace, requireColumns, textIn } from 'simmerkit';
import { comparedColumns, comparedText } from './compared-text.js';
import { decontaminateOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';

/** Whose n-gram it is: an evaluation question's, or a kept row's of a source. */
type Owner = { readonly evaluation: string } | { readonly source: string };

export const decontaminate = defineStage({
  description: 'Drops rows that share a run of words with an evaluation question.',
  options: decontaminateOptions,
  inputs: {
    dataset: input('dataset', 'Rows to train on.'),
    against: manyInputs('dataset', 'Evaluation datasets.'),
  },
  outputs: sieveOutputs,
  async run(context) {
    const { NgramIndex, wordsOf } = await import('./ngram-index.js');
    const { sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const columns = comparedColumns(options.column);
    const index = new NgramIndex<Owner>(options.words);
    const total = inputs.against.reduce((sum, table) => sum + table.rowCount, 0);
    const indexing = pace(context, { unit: 'evaluation questions', total });
    for (const table of inputs.against) {
      requireColumns(table, ['id', ...columns], 'An evaluation dataset');
      for await (const row of table.rows()) {
        index.add(wordsOf(comparedText(row, columns)), { evaluation: textIn(row, 'id') ?? '' });
        await indexing.step();
      }
    }
    const read = options.acrossSources ? ['id', ...columns, 'source'] : ['id', ...columns];
    requireColumns(inputs.dataset, read, 'The dataset');
    return await sieve(context, inputs.dataset, (row) => {
      const words = wordsOf(comparedText(row, columns));
      const source = textIn(row, 'source') ?? '';
      const found = index.match(words, (owner) => 'evaluation' in owner || owner.source !== source);
      if (found === undefined) {
        if (options.acrossSources) index.add(words, { source });
        return undefined;
      }
      return 'evaluation' in found.owner
        ? { rule: 'in_evaluation', evidence: `${found.owner.evaluation}: ${found.words}` }
        : { rule: 'in_earlier_source', evidence: `${found.owner.source}: ${found.words}` };
    });
  },
});
