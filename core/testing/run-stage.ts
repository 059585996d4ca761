import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  Artifact,
  ArtifactType,
  ArtifactUri,
  ArtifactWriter,
  Columns,
  DerivedRows,
  Row,
  StartRows,
  TableArtifact,
  TableOptions,
  ThreadedRows,
} from '../artifacts/artifact.js';
import { checkDerivedRows } from '../artifacts/check-derived-rows.js';
import { RowConverter } from '../artifacts/row-values.js';
import { jsonDigest } from '../document/canonical-json.js';
import { asSchema, unknownKeys } from '../document/option-schema.js';
import { formatPath } from '../document/path.js';
import { checkStageEvent } from '../engine/check-stage-event.js';
import { checkStageOutputs, followStageRun } from '../engine/stage-outputs.js';
import { makeTemporaryFolder } from '../files/temporary-folder.js';
import { checkSpendingRequest, checkSpent } from '../plugin/check-spending.js';
import { columnsIn, requireInputColumns } from '../plugin/columns.js';
import type { KnownColumns, StageContext, StageDefinition, StageEvent } from '../plugin/definitions.js';
import type { Log } from '../plugin/log.js';
import type { Spending, Spent } from '../plugin/spending.js';
import type { Grader, Trainer } from '../trainer/trainer.js';

/** A table in memory, as stages get it and make it. */
export type MemoryTable = TableArtifact & { readonly allRows: readonly Row[] };
/** A report in memory. */
export type MemoryReport = Artifact & { readonly content: unknown };

export interface RunStageOptions {
  /** Raw, as in a recipe: defaults are filled in by the stage's schema. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly inputs?: Readonly<Record<string, Artifact | readonly Artifact[]>>;
  /** @default 1 */
  readonly seed?: number;
  readonly trainer?: Trainer;
  readonly grader?: Grader;
  /** @default unlimited */
  readonly spending?: Spending;
  readonly signal?: AbortSignal;
  /** Kept between runs where given, with `keptFolder` in it; otherwise a new one, removed afterwards. */
  readonly scratchFolder?: string;
  /** Stands for the stage key, by which `keptFolder` is known: another one for other inputs. @default "key" */
  readonly key?: string;
  readonly recipeFolder?: string;
  readonly cacheFolder?: string;
}

export interface StageResult {
  readonly outputs: Readonly<Record<string, Artifact>>;
  /** The rows of an output that is a table. */
  rows(output: string): readonly Row[];
  readonly events: readonly StageEvent[];
  /** What it wrote to its log. */
  readonly logged: readonly { readonly level: keyof Log; readonly message: string }[];
  /** What it paid for, in the order in which that was over; empty where the test gave its own `spending`. */
  readonly spent: readonly (Spent & { readonly source: string })[];
}

let artifactCount = 0;

/** Makes a table for a test, with the types of its columns. */
export function memoryTable(
  columns: Columns,
  rows: readonly Row[],
  type: 'dataset' | 'generations' = 'dataset',
): MemoryTable {
  const names = Object.keys(columns);
  for (const [index, row] of rows.entries()) {
    const unknown = Object.keys(row).filter((name) => !(name in columns));
    if (unknown.length > 0)
      throw new Error(`row ${index} has ${unknown.join(', ')}, the table only ${names.join(', ')}`);
  }
  // As from Parquet: every row has every column.
  const allRows = rows.map((row) => Object.fromEntries(names.map((name) => [name, row[name] ?? null])));
  return {
    ...memoryArtifact(type, `/memory/${type}`),
    type,
    rowCount: rows.length,
    columns,
    allRows,
    async *rows({ columns: read = names, positions = { first: 0, end: allRows.length } } = {}) {
      const isRange = 'first' in positions;
      const chosen = isRange
        ? allRows.slice(positions.first, positions.end)
        : Array.from(positions, (at) => allRows[at]);
      for (const row of chosen) yield Object.fromEntries(read.map((name) => [name, row?.[name]]));
    },
  };
}

/** Makes an artifact for a test whose files are in a folder. */
export function memoryArtifact(
  type: ArtifactType,
  folder: string,
  metadata: Readonly<Record<string, unknown>> = {},
): Artifact {
  const digest = (++artifactCount).toString(16).padStart(64, '0');
  return {
    uri: `simmer://${type}/sha256-${digest}` as ArtifactUri,
    type,
    metadata,
    folder,
    files: [],
    path: (file) => join(folder, file),
  };
}

/**
 * Runs one stage by itself, with tables in memory: for unit tests of stages. What it emits, pays and returns is checked as
 * in a run.
 * @throws what the stage throws; UserError where something of it does not fit
 */
export async function runStage(stage: StageDefinition, given: RunStageOptions = {}): Promise<StageResult> {
  const [unknown] = unknownKeys(asSchema(stage.options), given.options ?? {});
  if (unknown !== undefined) raiseUnknown('option', formatPath(unknown.path), unknown.known);
  const inputs = Object.keys(stage.inputs);
  const input = Object.keys(given.inputs ?? {}).find((name) => !inputs.includes(name));
  if (input !== undefined) raiseUnknown('input', input, inputs);
  const temporaryFolders: string[] = [];
  const temporaryFolder = async () => {
    const folder = await makeTemporaryFolder('simmer-stage-');
    temporaryFolders.push(folder);
    return folder;
  };
  const events: StageEvent[] = [];
  const logged: { readonly level: keyof Log; readonly message: string }[] = [];
  const write = (level: keyof Log) => (message: string) => void logged.push({ level, message });
  const spent: (Spent & { readonly source: string })[] = [];
  const unlimited: Spending = {
    isLimited: false,
    reserve: async (request) => {
      checkSpendingRequest(request);
      const { source } = request;
      return {
        settle(cost) {
          checkSpent(source, cost);
          spent.push({ source, ...cost });
        },
      };
    },
  };
  const scratchFolder = given.scratchFolder ?? (await temporaryFolder());
  const absentMany = Object.entries(stage.inputs).flatMap(([name, { many }]) => (many ? [[name, []]] : []));
  const context = {
    runId: 'test',
    stage: 'stage',
    attempt: 1,
    options: stage.options.parse(given.options ?? {}),
    inputs: { ...Object.fromEntries(absentMany), ...given.inputs },
    seed: given.seed ?? 1,
    signal: given.signal ?? new AbortController().signal,
    log: { debug: write('debug'), info: write('info'), warning: write('warning'), error: write('error') },
    artifacts: memoryWriter(temporaryFolder),
    scratchFolder,
    async keptFolder(of: object) {
      const digest = jsonDigest(of);
      const folder = join(scratchFolder, 'kept', digest, given.key ?? 'key');
      await mkdir(folder, { recursive: true });
      return folder;
    },
    recipeFolder: given.recipeFolder ?? process.cwd(),
    cacheFolder: given.cacheFolder ?? (await temporaryFolder()),
    emit: async (event: StageEvent) => {
      checkStageEvent(event);
      events.push(event);
    },
    spending: given.spending ?? unlimited,
    trainer: async (name: string) => given.trainer ?? raise(`the stage asked for trainer ${name}, the test gave none`),
    grader: async (uses: string) => given.grader ?? raise(`the stage asked for grader ${uses}, the test gave none`),
  } satisfies StageContext<unknown, Record<string, never>>;
  try {
    requireInputColumns(stage, context.options, context.inputs);
    const run = stage.run(context as Parameters<typeof stage.run>[0]);
    const given = await followStageRun(run, context.emit, context.signal);
    const outputs = Object.fromEntries(checkStageOutputs(given, stage.outputs));
    checkSaidColumns(await stage.columns?.(context.options, columnsIn(context.inputs)), outputs);
    return { outputs, events, logged, spent, rows: (output) => rowsOf(output, outputs) };
  } finally {
    await Promise.all(temporaryFolders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

/** As in a recipe: left out in silence, a test of a name that is misspelt would pass with the default. */
function raiseUnknown(kind: string, name: string, known: readonly string[]): never {
  raise(`the stage has no ${kind} "${name}"; ${known.length === 0 ? 'it has none' : `there are ${known.join(', ')}`}`);
}

/** Recipes are refused by what a stage says of its columns before it runs: one that it leaves out is missing in them. */
function checkSaidColumns(said: KnownColumns | undefined, outputs: StageResult['outputs']): void {
  const listed = (columns: readonly string[]) => [...new Set(columns)].toSorted().join(', ') || 'none';
  for (const [output, columns] of Object.entries(said ?? {})) {
    if (columns === undefined) continue;
    const table = outputs[output] as Partial<MemoryTable> | undefined;
    const [saidNames, names] = [listed(columns), listed(Object.keys(table?.columns ?? {}))];
    if (saidNames !== names) raise(`the stage says that ${output} has ${saidNames}, and it has ${names}`);
  }
}

function rowsOf(output: string, outputs: StageResult['outputs']): readonly Row[] {
  const table = outputs[output] as Partial<MemoryTable> | undefined;
  return (
    table?.allRows ?? raise(`the stage has no table "${output}"; its outputs are ${Object.keys(outputs).join(', ')}`)
  );
}

/** Refuses rows that a file would not take. */
async function* checkedRows(rows: AsyncIterable<Row> | Iterable<Row>, columns: Columns): AsyncIterable<Row> {
  // Loaded here: DuckDB takes longer to load than most tests of stages run.
  const { columnTypes } = await import('../artifacts/duckdb-tables.js');
  const { listValue, structValue } = await import('@duckdb/node-api');
  const converter = new RowConverter(columnTypes(columns), { listValue, structValue });
  let number = 0;
  for await (const row of rows) {
    converter.values(row, ++number);
    yield row;
  }
}

function memoryWriter(temporaryFolder: () => Promise<string>): ArtifactWriter {
  const write =
    (type: 'dataset' | 'generations') =>
    async (rows: AsyncIterable<Row> | Iterable<Row>, { columns, metadata = {} }: TableOptions) => {
      const kept: Row[] = [];
      for await (const row of checkedRows(rows, columns)) kept.push(row);
      return { ...memoryTable(columns, kept, type), metadata };
    };
  return {
    writeDataset: write('dataset'),
    writeGenerations: write('generations'),
    writeDatasetInThreads: async <Settings, Task, Told>(work: ThreadedRows<Settings, Task>) => {
      const { start } = (await import(work.module.href)) as { readonly start: StartRows<Settings, Task, Told> };
      const make = start(work.settings);
      const made: Row[] = [];
      const told: Told[] = [];
      for await (const task of work.tasks) {
        const { rows, told: tell } = make(task);
        for await (const row of checkedRows(rows, work.columns)) made.push(row);
        told.push(tell());
      }
      return { table: memoryTable(work.columns, made), told };
    },
    deriveDataset: async (table, derived) => {
      checkDerivedRows(table, derived);
      const { positions, columns = Object.keys(table.columns), added } = derived;
      const addedTo = addedBy(derived);
      const kept: Row[] = [];
      const reading = { columns, ...(positions === undefined ? {} : { positions }) };
      for await (const row of table.rows(reading)) kept.push({ ...row, ...addedTo(kept.length) });
      const metadata = derived.columns === undefined ? table.metadata : {};
      const taken = Object.fromEntries(columns.map((name) => [name, table.columns[name] as string]));
      return { ...memoryTable({ ...taken, ...added?.columns }, kept), metadata };
    },
    writeReport: async (content) => ({ ...memoryArtifact('report', '/memory/report'), content }) as Artifact,
    commitModel: async (folder, metadata) => memoryArtifact('model', folder, metadata),
    referenceModel: async (folder, metadata) => memoryArtifact('model', folder, metadata),
    temporaryFolder,
  };
}

/** What is added to each row that is taken, by its index among these. */
function addedBy({ positions, added }: DerivedRows): (index: number) => Row {
  if (added === undefined) return () => ({});
  const { rows, few } = added;
  const rowAt = (place: number) => (typeof rows === 'function' ? rows(place) : rows[place]!);
  if (few === undefined) return rowAt;
  const places = new Map([...few.positions].map((at, place) => [at, place]));
  return (index) => {
    const place = places.get(positions?.[index] ?? index);
    return place === undefined ? few.others : rowAt(place);
  };
}

function raise(message: string): never {
  throw new Error(message);
}
