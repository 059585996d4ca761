import { type Columns, defineStage, formatCount, historyType, type OptionProblem, pace, UserError } from 'simmerkit';
import { historyProblems, turnsProblems } from './history.js';
import type { Loaded } from './load.work.js';
import { type LoadOptions, loadOptions, type Source } from './load-options.js';
import type { Piece, SourceFiles } from './load-tasks.js';
import { patternProblems } from './pattern-problems.js';
import { decisionColumns, sieveColumns } from './sieve-outputs.js';
import { chatProblems, chatTypeOf } from './whole-chats.js';

export const load = defineStage({
  description: 'Loads problems from JSONL, JSON, CSV or Parquet files and maps their fields to columns.',
  options: loadOptions,
  inputs: {},
  outputs: {
    dataset: { type: 'dataset', description: 'The problems, source after source.' },
    decisions: {
      type: 'dataset',
      description: 'One row per row that was dropped: `id`, `kept`, `rule`, `evidence` (where it stands).',
    },
  },
  check: (options) => [
    ...orderProblems(options),
    ...historyProblems(options),
    ...turnsProblems(options),
    ...chatProblems(options),
    ...patternsOf(options).flatMap(({ pattern, path }) => patternProblems(path, pattern)),
    ...revisionProblems(options),
  ],
  async columns({ sources }) {
    const { columnsOf } = await import('./field-mapping.js');
    const all = Object.values(sources);
    const history = all.some((source) => source.history) ? ['history'] : [];
    return sieveColumns(['id', ...all.flatMap(columnsOf), 'source', ...history]);
  },
  estimate: ({ sources }) => {
    const most = Object.values(sources).map(({ rows, limit }) => rows ?? limit ?? Number.NaN);
    const rows = most.reduce((sum, count) => sum + count, 0);
    return { outputs: Number.isNaN(rows) ? {} : { dataset: { rows, isAtMost: true } } };
  },
  async run(context) {
    const { columnsOf } = await import('./field-mapping.js');
    const { loadTasks, requireUnchanged, statesOf } = await import('./load-tasks.js');
    const { joinParts, requireFields, warningsOf } = await import('./read-parts.js');
    const { checkSources, sourceFiles } = await import('./source-files.js');
    const { options } = context;
    const sources: SourceFiles[] = [];
    for (const [name, source] of inOrder(options))
      sources.push({ name, source, files: await sourceFiles(source, context) });
    const added = new Set(sources.flatMap(({ source }) => columnsOf(source)));
    const columns: Columns = {
      id: 'VARCHAR',
      ...Object.fromEntries(
        [...added].map((column) => [column, chatTypeOf(column, options) ?? options.types[column] ?? 'VARCHAR']),
      ),
      source: 'VARCHAR',
      ...(sources.some(({ source }) => source.history) ? { history: historyType } : {}),
    };
    const states = await statesOf(sources);
    await checkSources(sources);
    const steps = pace(context, { unit: 'rows', total: null });
    const { table: dataset, told } = await context.artifacts.writeDatasetInThreads<
      LoadOptions,
      readonly Piece[],
      Loaded
    >({
      columns,
      module: new URL('./load.work.js', import.meta.url),
      settings: options,
      tasks: loadTasks(sources),
      // A pattern of the recipe may never end: in a thread it ends with the run.
      isLittle: patternsOf(options).length === 0 && states.reduce((sum, { bytes }) => sum + bytes, 0) < littleBytes,
      signal: context.signal,
      // An interruption ends the threads.
      onRows: (count) => void steps.step(undefined, count).catch(() => {}),
    });
    await requireUnchanged(sources, states);
    await steps.finish();
    let rowsIn = 0;
    const files = joinParts(told.flatMap(({ parts }) => parts));
    for (const { name, source } of sources) {
      const ofSource = files.filter((file) => file.source === name);
      requireFields(ofSource, source);
      const count = (what: 'read' | 'taken' | 'kept') => ofSource.reduce((sum, file) => sum + file[what], 0);
      const [read, taken] = [count('read'), count('taken')];
      if (read > taken)
        context.log.info(
          `Source ${name}: ${taken} of ${formatCount(read)} rows match \`where\`; the others are no input.`,
        );
      if (source.rows !== undefined && taken !== source.rows) throw wrongCount(name, taken, source.rows);
      if (count('kept') === 0) throw nothingLoaded(name, read, taken, ofSource.find(({ fault }) => fault)?.fault);
      for (const warning of warningsOf(source, ofSource)) context.log.warning(`Source ${name}: ${warning}`);
      rowsIn += taken;
    }
    const decisions = told.flatMap((part) => part.decisions);
    const dropped: Record<string, number> = {};
    for (const { rule } of decisions) dropped[rule] = (dropped[rule] ?? 0) + 1;
    await context.emit({
      type: 'funnel.counted',
      data: { step: context.stage, rowsIn, rowsOut: dataset.rowCount, dropped },
    });
    return { dataset, decisions: await context.artifacts.writeDataset(decisions, { columns: decisionColumns }) };
  },
});

/** Less is read before threads have started. */
const littleBytes = 2 ** 22;

/** The sources in the order in which their rows come. */
function inOrder({
  sources,
  order = Object.keys(sources).sort(),
}: LoadOptions): readonly (readonly [string, Source])[] {
  return order.flatMap((name) => (sources[name] === undefined ? [] : [[name, sources[name]] as const]));
}

function orderProblems({ sources, order }: LoadOptions): readonly OptionProblem[] {
  const names = Object.keys(sources).sort();
  if (order === undefined || [...order].sort().join('\n') === names.join('\n')) return [];
  const message = `order names ${order.join(', ')}, and the sources are ${names.join(', ')}.`;
  return [{ path: 'order', code: 'invalid_order', message, hint: 'Name each source once.' }];
}

function patternsOf({ sources }: LoadOptions): readonly { readonly pattern: string; readonly path: string }[] {
  return Object.entries(sources).flatMap(([name, { fields, where }]) => [
    ...Object.entries(fields).flatMap(([column, field]) => {
      if (typeof field === 'string' || !('field' in field)) return [];
      const patterns = field.pattern === undefined ? field.remove : [field.pattern, ...field.remove];
      return patterns.map((pattern) => ({ pattern, path: `sources.${name}.fields.${column}` }));
    }),
    ...Object.entries(where).map(([field, pattern]) => ({ pattern, path: `sources.${name}.where.${field}` })),
  ]);
}

function wrongCount(name: string, found: number, expected: number): UserError {
  return new UserError('wrong_row_count', `Source ${name} gives ${found} rows, expected ${expected}.`, {
    kind: 'runFailed',
    hint: 'It is another version of the data, or `where` takes others; correct `rows` where that is what you want.',
  });
}

/** @param fault the first of what is malformed */
function nothingLoaded(name: string, read: number, taken: number, fault: string | undefined): UserError {
  const [message, hint] =
    read === 0
      ? [`Source ${name} has no row.`, 'Its files are empty, or are a header alone: check `path` and `files`.']
      : taken === 0
        ? [`No row of source ${name} matches \`where\`; it has ${formatCount(read)}.`, 'Correct `where`.']
        : fault !== undefined
          ? [
              `No row of source ${name} is sound; ${formatCount(taken)} were read. The first: ${fault}`,
              'Check its `format`; with `malformed: error` and `missing: error` the first fault is shown in its file.',
            ]
          : [
              `No row of source ${name} has all required columns; ${formatCount(taken)} were read.`,
              'Correct `fields`, `layout` or `required`; with `missing: error` the first such row is shown.',
            ];
  return new UserError('no_rows', message, { kind: 'runFailed', hint });
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
