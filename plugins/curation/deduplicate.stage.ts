import { defineStage, formatCount, input, pace, textIn, workInThreads } from 'simmerkit';
import { columnTexts, comparedColumns } from './compared-text.js';
import type { DuplicateKeys } from './deduplicate.work.js';
import { deduplicateOptions } from './options.js';
import { sieveFacts } from './row-facts.js';
import type { Drop } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const deduplicate = defineStage({
  description: 'Keeps the first of rows that are the same in one column, or nearly the same.',
  options: deduplicateOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and the column.') },
  outputs: sieveOutputs,
  reads: ({ column }) => ({ dataset: ['id', ...comparedColumns(column)] }),
  columns: (_, columnsOf) => sieveColumns(columnsOf('dataset')),
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { keysOfRow } = await import('./deduplicate.work.js');
    const { rowsThatShareKeys } = await import('./duplicate-keys.js');
    const { DuplicateFinder } = await import('./duplicate-finder.js');
    const { NearSketch } = await import('./near-sketch.js');
    const { sieve } = await import('./sieve.js');
    const { TextStore } = await import('./text-store.js');
    const { options, inputs, seed } = context;
    const { dataset } = inputs;
    const columns = comparedColumns(options.column);
    const { ignoreCaseAndSpace } = options;
    const settings: DuplicateKeys = {
      columns,
      ignoreCaseAndSpace,
      ...(options.near === undefined ? {} : { near: { ...options.near, seed } }),
    };
    const sketch = settings.near === undefined ? undefined : new NearSketch(settings.near);
    const module = new URL('./deduplicate.work.js', import.meta.url);
    const blocks: Uint32Array[] = [];
    const work = { columns, texts: 'utf8', module, settings, unit: 'rows' } as const;
    for await (const block of workInThreads<DuplicateKeys, Uint32Array>(context, dataset, work)) blocks.push(block);
    const positions = await rowsThatShareKeys(blocks, keysOfRow(sketch));
    // Only rows that share a key can be duplicates; only these are read again, and compared by what they are.
    using texts = new TextStore(await context.artifacts.temporaryFolder());
    const finder = new DuplicateFinder(settings, sketch, texts);
    const drops = new Map<number, Drop>();
    const keys = keysAt(blocks, 2 * keysOfRow(sketch));
    const steps = pace(context, { unit: 'candidates', total: positions.length });
    for await (const row of dataset.rows({ columns: ['id', ...columns], positions })) {
      const at = positions[steps.done] as number;
      const drop = finder.judge(columnTexts(row, columns), textIn(row, 'id'), keys(at));
      if (drop !== undefined) drops.set(at, drop);
      await steps.step();
    }
    if (finder.emptyDuplicates > 0) {
      const rows = `${formatCount(finder.emptyDuplicates)} of the duplicates`;
      context.log.warning(
        `${rows} are the same in that they have no ${columns.join(' and no ')}. To keep them, name what they have in \`column\`.`,
      );
    }
    return await sieve(context, dataset, (at) => drops.get(at));
  },
});

/** The keys of a row, by its position; rows are asked for in their order. */
function keysAt(blocks: readonly Uint32Array[], size: number): (row: number) => Uint32Array {
  let block = 0;
  let first = 0;
  return (row) => {
    for (; row >= first + (blocks[block] as Uint32Array).length / size; block++) {
      first += (blocks[block] as Uint32Array).length / size;
    }
    return (blocks[block] as Uint32Array).subarray((row - first) * size, (row - first + 1) * size);
  };
}
