import type { Row, TableArtifact } from '../artifacts/artifact.js';
import type { StageContext } from '../plugin/definitions.js';
import { pace } from '../plugin/pace.js';
import { doInThreads } from './do-in-threads.js';
import { batchesOf } from './row-batches.js';
import type { StartWork, TablePart, TableSettings } from './table-part.work.js';

export interface ThreadedWork<Settings> {
  /** Exports `start`, a `StartWork`. */
  readonly module: URL;
  readonly settings: Settings;
  /** What it gets of the rows. */
  readonly columns: readonly string[];
  /** "utf8": columns of text come as their bytes (`Uint8Array`), which scan faster than strings. @default strings */
  readonly texts?: 'utf8';
  /** What progress counts, e.g. "rows". */
  readonly unit: string;
  /**
   * It may never end, as the patterns of a recipe or a tokenizer may: done in threads however few the rows are, for those
   * end when the run is stopped, and hold up nothing else. @default false
   */
  readonly isUnbounded?: boolean;
  /** Told beside how far it is. */
  readonly figures?: () => Readonly<Record<string, number>>;
}

/** Fewer rows are done before threads have started. */
const fewRows = 2000;

type WorkContext = Pick<StageContext<unknown, Record<string, never>>, 'signal' | 'emit'>;

/**
 * Does something to all rows of a table, on all cores (8 at most), and says how far it is. Each thread reads its share by
 * itself, so that the event loop stays free.
 * @returns what was made of batches of rows, in their order, whatever the number of threads
 * @throws UserError of the work, or the signal's reason
 */
export async function* workInThreads<Settings, Result>(
  context: WorkContext,
  table: TableArtifact,
  work: ThreadedWork<Settings>,
): AsyncIterable<Result> {
  const steps = pace(context, { unit: work.unit, total: table.rowCount });
  for await (const { rows, results } of partsOf<Settings, Result>(context.signal, table, work)) {
    await steps.step(work.figures, rows);
    yield* results;
  }
  await steps.finish(work.figures?.());
}

interface DonePart<Result> {
  readonly rows: number;
  readonly results: readonly Result[];
}

async function* partsOf<Settings, Result>(
  signal: AbortSignal,
  table: TableArtifact,
  work: ThreadedWork<Settings>,
): AsyncIterable<DonePart<Result>> {
  const { module, settings, columns, texts, isUnbounded = false } = work;
  const { location } = table;
  // Threads run what was built; tests of the sources do the same work here.
  if (location === undefined || (table.rowCount < fewRows && !isUnbounded) || import.meta.url.endsWith('.ts')) {
    const { start } = (await import(module.href)) as { readonly start: StartWork<Settings, Result> };
    const ask = start(settings);
    for await (const rows of batchesOf(table.rows({ columns }))) {
      yield { rows: rows.length, results: [ask(texts === 'utf8' ? rows.map(withBytes) : rows)] };
    }
    return;
  }
  const { partsOfTable } = await import('../artifacts/table-parts.js');
  yield* doInThreads<TableSettings, TablePart, DonePart<Result>>(signal, {
    module: new URL('./table-part.work.js', import.meta.url),
    settings: { module: module.href, settings, location, columns, texts, isUnbounded },
    tasks: await partsOfTable(location.file),
  });
}

function withBytes(row: Row): Row {
  const asBytes = (value: unknown) => (typeof value === 'string' ? Buffer.from(value) : value);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asBytes(value)]));
}
