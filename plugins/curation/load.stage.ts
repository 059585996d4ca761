import { basename } from 'node:path';
import { type Columns, defineStage, pace, type Row, UserError } from 'simmerkit';
import type { DataPlace } from './data-error.js';
import { type LoadOptions, loadOptions } from './options.js';

export const load = defineStage({
  description: 'Loads problems from JSONL, JSON, CSV or Parquet files and maps their fields to columns.',
  options: loadOptions,
  inputs: {},
  outputs: {
    dataset: { type: 'dataset', description: 'The problems, source after source.' },
    decisions: {
      type: 'dataset',
      description: 'One row per row that lacks a required column: `id`, `kept`, `rule`, `evidence` (where it stands).',
    },
  },
  check: (options) => [...patternProblems(options), ...filterProblems(options), ...revisionProblems(options)],
  async run(context) {
    const { readRows, formatOf } = await import('./data-reader.js');
    const { columnsOf, fieldMapper, rowFilter } = await import('./field-mapping.js');
    const { problemId } = await import('./problem-id.js');
    const { decisionColumns } = await import('./sieve.js');
    const { sourceFiles } = await import('./source-files.js');
    const { options } = context;
    const sources = Object.entries(options.sources);
    const added = new Set(sources.flatMap(([, source]) => columnsOf(source)));
    const columns: Columns = {
      id: 'VARCHAR',
      ...Object.fromEntries([...added].map((column) => [column, options.types[column] ?? 'VARCHAR'])),
      source: 'VARCHAR',
    };
    const steps = pace(context, { unit: 'rows', total: null });
    const dropped: Record<string, number> = {};
    const decisions: Row[] = [];
    const idOf = (question: unknown) => (typeof question === 'string' ? problemId(question) : null);
    async function* rows(): AsyncIterable<Row> {
      for (const [name, source] of sources) {
        const mapRow = fieldMapper(source, options);
        const isTaken = rowFilter(source);
        let left = source.limit ?? Number.POSITIVE_INFINITY;
        let taken = 0;
        for (const file of await sourceFiles(name, source, context)) {
          const format = source.format === 'auto' ? formatOf(file) : source.format;
          for await (const { row, place } of readRows(file, format)) {
            if (!isTaken(row)) continue;
            if (left-- <= 0) break;
            taken++;
            await steps.step();
            const mapped = mapRow(row, place);
            if ('row' in mapped)
              yield { source: name, ...mapped.row, id: problemId(String(mapped.row.question ?? '')) };
            else {
              const rule = `no_${mapped.missing}`;
              dropped[rule] = (dropped[rule] ?? 0) + 1;
              decisions.push({ id: idOf(mapped.question), kept: false, rule, evidence: `${name}: ${placeOf(place)}` });
            }
          }
        }
        if (source.rows !== undefined && taken !== source.rows) throw wrongCount(name, taken, source.rows);
      }
    }
    const dataset = await context.artifacts.writeDataset(rows(), { columns });
    await steps.finish();
    await context.emit({
      type: 'funnel.counted',
      data: { step: context.stage, rowsIn: steps.done, rowsOut: dataset.rowCount, dropped },
    });
    return { dataset, decisions: await context.artifacts.writeDataset(decisions, { columns: decisionColumns }) };
  },
});

/** Without its folder: the same rows in another place are the same decisions. */
function placeOf({ file, line, row }: DataPlace): string {
  return `${basename(file)}${line === undefined ? '' : `:${line}`}${row === undefined ? '' : ` (row ${row})`}`;
}

function patternProblems(options: LoadOptions) {
  return Object.entries(options.sources).flatMap(([name, { fields }]) =>
    Object.entries(fields).flatMap(([column, field]) => {
      if (typeof field === 'string' || 'value' in field) return [];
      return [field.pattern, ...field.remove].flatMap((pattern) =>
        patternProblem(pattern ?? '', `sources.${name}.fields.${column}`),
      );
    }),
  );
}

function filterProblems(options: LoadOptions) {
  return Object.entries(options.sources).flatMap(([name, { where }]) =>
    Object.entries(where).flatMap(([field, pattern]) => patternProblem(pattern, `sources.${name}.where.${field}`)),
  );
}

function patternProblem(pattern: string, path: string) {
  try {
    new RegExp(pattern);
    return [];
  } catch (error) {
    return [{ path, code: 'invalid_pattern', message: (error as Error).message }];
  }
}

function wrongCount(name: string, found: number, expected: number): UserError {
  return new UserError('wrong_row_count', `Source ${name} gives ${found} rows, expected ${expected}.`, {
    kind: 'runFailed',
    hint: 'It is another version of the data, or `where` takes others; correct `rows` where that is what you want.',
  });
}

/** A branch moves; the stage's key would not notice. */
function revisionProblems(options: LoadOptions) {
  return Object.entries(options.sources).flatMap(([name, { path, sha256, movable }]) => {
    if (movable || !path.startsWith('hf://') || sha256 !== undefined || /@[0-9a-f]{40}\//.test(path)) return [];
    return [
      {
        path: `sources.${name}.path`,
        code: 'revision_not_pinned',
        message: `${path} names a revision that can move.`,
        hint: 'Name the commit (40 hex digits) after the @, give the `sha256` of the file, or say `movable: true`.',
      },
    ];
  });
}
