import {
  type Columns,
  defineStage,
  formatCount,
  formatCounted,
  manyInputs,
  pace,
  type Row,
  type TableArtifact,
  textIn,
  UserError,
} from 'simmerkit';
import { mixOptions } from './options.js';
import { rowsOf } from './row-facts.js';
import { decisionColumns, sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const mix = defineStage({
  description: 'Mixes datasets in given shares, their rows drawn in turn from the seed.',
  options: mixOptions,
  inputs: { datasets: manyInputs('dataset', 'What is mixed; rows keep their order within each.') },
  outputs: sieveOutputs,
  check: ({ weights, count, whenEmpty }, { inputs }) => [
    ...(inputs?.datasets === 0
      ? [{ path: '', code: 'nothing_to_mix', message: 'There are no `datasets` to mix.', hint: 'Give at least one.' }]
      : []),
    ...(inputs !== undefined && weights !== undefined && weights.length !== inputs.datasets
      ? [
          {
            path: 'weights',
            code: 'weights_differ',
            message: `There are ${inputs.datasets} datasets and ${weights.length} weights.`,
            hint: 'Give one weight a dataset, in their order, or none for equal shares.',
          },
        ]
      : []),
    ...(weights?.every((weight) => weight === 0) === true
      ? [{ path: 'weights', code: 'no_weight', message: 'Every weight is 0: nothing would be drawn.' }]
      : []),
    ...(whenEmpty === 'repeat' && count === undefined
      ? [
          {
            path: 'count',
            code: 'endless_mix',
            message: 'whenEmpty: repeat goes on for ever.',
            hint: 'Say how many rows are drawn in all (`count`).',
          },
        ]
      : []),
  ],
  columns: (_, columnsOf) => sieveColumns(columnsOf('datasets')),
  estimate: ({ count }, { inputs }) => {
    const sizes = [inputs.datasets ?? []].flat().map((facts) => rowsOf(facts));
    const all = sizes.reduce<number | undefined>(
      (sum, rows) => (sum === undefined || rows === undefined ? undefined : sum + rows),
      0,
    );
    const rows = count ?? all;
    return { outputs: rows === undefined ? {} : { dataset: { rows, isAtMost: true } } };
  },
  async run(context) {
    const { drawSources } = await import('./mixing.js');
    const { options, inputs } = context;
    const { datasets } = inputs;
    if (datasets.length === 0) {
      throw new UserError('nothing_to_mix', 'The stage has no datasets.', { hint: 'Give at least one in `datasets`.' });
    }
    const weights = options.weights ?? datasets.map(() => 1);
    if (weights.length !== datasets.length) {
      throw new UserError('weights_differ', `There are ${datasets.length} datasets and ${weights.length} weights.`, {
        kind: 'runFailed',
        hint: 'Give one weight a dataset, in their order, or none for equal shares.',
      });
    }
    const sizes = datasets.map(({ rowCount }) => rowCount);
    const columns = commonColumns(datasets);
    const draws = drawSources(sizes, weights, { ...options, seed: context.seed });
    const taken = sizes.map(() => 0);
    const steps = pace(context, { unit: 'rows', total: options.count ?? null });
    async function* rows(): AsyncIterable<Row> {
      const readers = datasets.map((table) => new RepeatingReader(table));
      try {
        for (const source of draws) {
          const row = await (readers[source] as RepeatingReader).next();
          taken[source] = (taken[source] ?? 0) + 1;
          yield Object.fromEntries(Object.keys(columns).map((name) => [name, row[name] ?? null]));
          await steps.step();
        }
      } finally {
        for (const reader of readers) await reader.close();
      }
    }
    const dataset = await context.artifacts.writeDataset(rows(), { columns });
    await steps.finish();
    const parts = taken.map((rows, index) => `${formatCounted(rows, 'row')} of dataset ${index + 1}`);
    const isShort = options.count !== undefined && dataset.rowCount < options.count;
    const asked = isShort ? `; ${formatCount(options.count ?? 0)} were asked for` : '';
    context.log.info(`The mix has ${parts.join(', ')}${asked}.`);
    async function* decisions(): AsyncIterable<Row> {
      for (const [source, table] of datasets.entries()) {
        let index = 0;
        for await (const row of table.rows()) {
          const times = timesDrawn(index++, taken[source] ?? 0, table.rowCount);
          yield {
            id: textIn(row, 'id'),
            kept: times > 0,
            rule: times > 0 ? null : 'not_drawn',
            evidence: `dataset ${source + 1}, drawn ${times === 1 ? 'once' : `${times} times`}`,
          };
        }
      }
    }
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const once = sizes.reduce((sum, size, source) => sum + Math.min(size, taken[source] ?? 0), 0);
    await context.emit({
      type: 'funnel.counted',
      data: {
        step: context.stage,
        rowsIn: total,
        rowsOut: dataset.rowCount,
        dropped: total === once ? {} : { not_drawn: total - once },
      },
    });
    return { dataset, decisions: await context.artifacts.writeDataset(decisions(), { columns: decisionColumns }) };
  },
});

/** Rows are drawn in their order, over and over: how often the row at an index came. */
function timesDrawn(index: number, taken: number, size: number): number {
  return Math.floor(taken / size) + (index < taken % size ? 1 : 0);
}

/** The columns of all; a dataset that lacks one has it empty. @throws UserError `columns_differ` */
function commonColumns(datasets: readonly TableArtifact[]): Columns {
  const columns: Record<string, string> = {};
  for (const [index, table] of datasets.entries()) {
    for (const [name, type] of Object.entries(table.columns)) {
      const before = columns[name];
      if (before !== undefined && before !== type) {
        throw new UserError(
          'columns_differ',
          `Column \`${name}\` is ${type} in dataset ${index + 1} and ${before} in an earlier one.`,
          { kind: 'runFailed', hint: 'Load both with the same `types`.' },
        );
      }
      columns[name] = type;
    }
  }
  return columns;
}

/** Reads a table row by row, and from its first row again after the last. */
class RepeatingReader {
  readonly #table: TableArtifact;
  #rows: AsyncIterator<Row> | undefined;

  constructor(table: TableArtifact) {
    this.#table = table;
  }

  async next(): Promise<Row> {
    for (;;) {
      this.#rows ??= this.#table.rows()[Symbol.asyncIterator]();
      const { done, value } = await this.#rows.next();
      if (done !== true) return value;
      this.#rows = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#rows?.return?.();
  }
}
