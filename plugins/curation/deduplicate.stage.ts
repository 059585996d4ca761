import { defineStage, input, requireColumns, textIn } from 'simmerkit';
import { comparedColumns, comparedText } from './compared-text.js';
import { deduplicateOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';

export const deduplicate = defineStage({
  description: 'Keeps the first of rows that are the same in one column, or nearly the same.',
  options: deduplicateOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and the column.') },
  outputs: sieveOutputs,
  async run(context) {
    const { createHash } = await import('node:crypto');
    const { NearIndex } = await import('./near-index.js');
    const { wordsOf } = await import('./ngram-index.js');
    const { sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const columns = comparedColumns(options.column);
    requireColumns(inputs.dataset, ['id', ...columns], 'The dataset');
    const firstIds = new Map<string, string | null>();
    const near =
      options.near === undefined ? undefined : new NearIndex<string | null>({ ...options.near, seed: context.seed });
    return await sieve(context, inputs.dataset, (row) => {
      const text = comparedText(row, columns);
      const compared = options.ignoreCaseAndSpace ? text.toLowerCase().trim().replace(/\s+/g, ' ') : text;
      // 132 bits: texts can be long, and no two differ in practice and agree here.
      const digest = createHash('sha256').update(compared).digest('base64').slice(0, 22);
      const first = firstIds.get(digest);
      if (first !== undefined) return { rule: 'duplicate', evidence: `same as ${first}` };
      const id = textIn(row, 'id');
      const similar = near?.findOrAdd(wordsOf(text), id);
      if (similar !== undefined) {
        return { rule: 'near_duplicate', evidence: `${similar.similarity.toFixed(3)} similar to ${similar.owner}` };
      }
      firstIds.set(digest, id);
      return undefined;
    });
  },
});
