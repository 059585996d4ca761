import { type Columns, defineStage, pace, type Row } from 'simmerkit';
import { type LoadOptions, loadOptions } from './options.js';

export const load = defineStage({
  description: 'Loads problems from JSONL, JSON, CSV or Parquet files and maps their fields to columns.',
  options: loadOptions,
  inputs: {},
  outputs: { dataset: { type: 'dataset', description: 'The problems, source after source.' } },
  check: (options) => [...patternProblems(options), ...revisionProblems(options)],
  async run(context) {
    const { readRows, formatOf } = await import('./data-reader.js');
    const { columnsOf, fieldMapper } = await import('./field-mapping.js');
    const { problemId } = await import('./problem-id.js');
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
    async function* rows(): AsyncIterable<Row> {
      for (const [name, source] of sources) {
        const mapRow = fieldMapper(source, options);
        let left = source.limit ?? Number.POSITIVE_INFINITY;
        for (const file of await sourceFiles(name, source, context)) {
          const format = source.format === 'auto' ? formatOf(file) : source.format;
          for await (const { row, place } of readRows(file, format)) {
            if (left-- <= 0) break;
            await steps.step();
            const mapped = mapRow(row, place);
            if ('row' in mapped)
              yield { source: name, ...mapped.row, id: problemId(String(mapped.row.question ?? '')) };
            else dropped[`no_${mapped.missing}`] = (dropped[`no_${mapped.missing}`] ?? 0) + 1;
          }
        }
      }
    }
    const dataset = await context.artifacts.writeDataset(rows(), { columns });
    await steps.finish();
    await context.emit({
      type: 'funnel.counted',
      data: { step: context.stage, rowsIn: steps.done, rowsOut: dataset.rowCount, dropped },
    });
    return { dataset };
  },
});

function patternProblems(options: LoadOptions) {
  return Object.entries(options.sources).flatMap(([name, { fields }]) =>
    Object.entries(fields).flatMap(([column, field]) => {
      if (typeof field === 'string' || 'value' in field) return [];
      return [field.pattern, ...field.remove].flatMap((pattern) => {
        try {
          new RegExp(pattern ?? '');
          return [];
        } catch (error) {
          const path = `sources.${name}.fields.${column}`;
          return [{ path, code: 'invalid_pattern', message: (error as Error).message }];
        }
      });
    }),
  );
}

/** A branch moves; the stage's key would not notice. */
function revisionProblems(options: LoadOptions) {
  return Object.entries(options.sources).flatMap(([name, { path, sha256 }]) => {
    if (!path.startsWith('hf://') || sha256 !== undefined || /@[0-9a-f]{40}\//.test(path)) return [];
    return [
      {
        path: `sources.${name}.path`,
        code: 'revision_not_pinned',
        message: `${path} names a revision that can move.`,
        hint: 'Name the commit (40 hex digits) after the @, or give the `sha256` of the file.',
      },
    ];
  });
}
