import {
  defineStage,
  formatCount,
  hasHistory,
  input,
  manyInputs,
  pace,
  type Row,
  textIn,
  workInThreads,
} from 'simmerkit';
import { comparedColumns, comparedText } from './compared-text.js';
import type { EvaluationIndex } from './decontaminate.work.js';
import { historyOf } from './history.js';
import { decontaminateOptions } from './options.js';
import { sieveFacts } from './row-facts.js';
import type { Drop, FoundDrops } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const decontaminate = defineStage({
  description: 'Drops rows that share a run of words with an evaluation question.',
  options: decontaminateOptions,
  inputs: {
    dataset: input('dataset', 'Rows to train on.'),
    against: manyInputs('dataset', 'Evaluation datasets.'),
  },
  outputs: sieveOutputs,
  reads: ({ column, acrossSources }) => ({
    dataset: ['id', ...comparedColumns(column), ...(acrossSources ? ['source'] : [])],
    against: ['id', ...comparedColumns(column)],
  }),
  columns: (_, columnsOf) => sieveColumns(columnsOf('dataset')),
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { NgramIndex } = await import('./ngram-index.js');
    const { gatherDrops, judgeRows, sieve } = await import('./sieve.js');
    const { scanWords } = await import('./words.js');
    const { options, inputs } = context;
    const { dataset } = inputs;
    const columns = comparedColumns(options.column);
    const questions: { readonly id: string; readonly text: string }[] = [];
    const total = inputs.against.reduce((sum, table) => sum + table.rowCount, 0);
    const reading = pace(context, { unit: 'evaluation questions', total });
    for (const table of inputs.against) {
      for await (const row of table.rows({ columns: ['id', ...columns] })) {
        questions.push({ id: textIn(row, 'id') ?? '', text: comparedText(row, columns) });
        await reading.step();
      }
    }
    // What an earlier turn of a chat asks is trained on as well.
    const hasTurns = hasHistory(dataset);
    const trained = hasTurns ? [...new Set([...columns, 'history'])] : columns;
    const read = ['id', ...trained, ...(options.acrossSources ? ['source'] : [])];
    const module = new URL('./decontaminate.work.js', import.meta.url);
    const settings: EvaluationIndex = { columns: trained, words: options.words, questions };
    const work = { columns: trained, texts: 'utf8', module, settings, unit: 'rows' } as const;
    const drops = await gatherDrops(workInThreads<EvaluationIndex, FoundDrops>(context, dataset, work));
    if (drops.size > dataset.rowCount / 2) context.log.warning(mostlyShared(drops, dataset.rowCount, options.words));
    if (!options.acrossSources) return await sieve(context, dataset, (at) => drops.get(at));
    // What a source may share depends on what was kept of those before it: one row after the other.
    const kept = new NgramIndex<string>(options.words);
    const judge = (row: Row, at: number): Drop | undefined => {
      const drop = drops.get(at);
      if (drop !== undefined) return drop;
      const words = scanWords(comparedText(hasTurns ? withQuestionsAlone(row) : row, trained));
      const source = textIn(row, 'source') ?? '';
      const shared = kept.match(words, (owner) => owner !== source);
      if (shared !== undefined) return { rule: 'in_earlier_source', evidence: `${shared.owner}: ${shared.words}` };
      kept.add(words, source);
      return undefined;
    };
    return await sieve(context, dataset, await judgeRows(context, dataset, read, judge));
  },
});

/** Of the turns before, what is asked: instructions to a model and its greetings are alike in many sources. */
function withQuestionsAlone(row: Row): Row {
  return { ...row, history: historyOf(row).filter(({ role }) => role === 'user') };
}

/** Questions of one template share its words: dropping most of a dataset is more often that than a leak. */
function mostlyShared(drops: ReadonlyMap<number, Drop>, rows: number, words: number): string {
  const counts = new Map<string, number>();
  for (const { evidence = '' } of drops.values()) {
    const shared = evidence.slice(evidence.indexOf(': ') + 2);
    counts.set(shared, (counts.get(shared) ?? 0) + 1);
  }
  const [often, count] = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most), ['', 0]);
  return (
    `${formatCount(drops.size)} of ${formatCount(rows)} rows share ${words} words with an evaluation question, ` +
    `${formatCount(count)} of them "${often}". Where that is a template's and no leak, raise \`words\`.`
  );
}
