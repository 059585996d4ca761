import { pace, type Row, type StageContext, type TableArtifact, textIn } from 'simmerkit';
import { BatchThreads, defaultThreads, fewRows, type StartWork } from './batch-threads.js';

/** Characters in a batch, about: small enough that passing it on holds nobody up. */
const batchLength = 2 ** 19;

/** The columns of an option that is one or several. */
export function comparedColumns(column: string | readonly string[]): readonly string[] {
  return typeof column === 'string' ? [column] : column;
}

/** The texts of some columns, one after the other, a line break between them. */
export function comparedText(row: Row, columns: readonly string[]): string {
  return columns.length === 1
    ? (textIn(row, columns[0] as string) ?? '')
    : columns.flatMap((column) => textIn(row, column) ?? []).join('\n');
}

export interface TextWork<Settings> {
  readonly columns: readonly string[];
  /** Exports `start`, a `StartWork<Settings, string[], Result>`. */
  readonly module: URL;
  readonly settings: Settings;
  /** What progress counts. */
  readonly unit: string;
  /** Told beside how far it is. */
  readonly figures?: () => Readonly<Record<string, number>>;
}

type WorkContext = Pick<StageContext<unknown, Record<string, never>>, 'signal' | 'emit'>;

/** Does something to the texts of a table in threads, batch after batch, in their order; says how far it is. */
export async function* workOnTexts<Settings, Result>(
  context: WorkContext,
  table: TableArtifact,
  { columns, module, settings, unit, figures }: TextWork<Settings>,
): AsyncIterable<Result> {
  const threads = table.rowCount < fewRows ? 0 : defaultThreads;
  await using workers = await BatchThreads.start<Settings, readonly string[], Result>({ module, settings, threads });
  const steps = pace(context, { unit, total: table.rowCount });
  yield* workers.map(textBatches(table, columns, () => steps.step(figures)));
  await steps.finish(figures?.());
}

async function* textBatches(
  table: TableArtifact,
  columns: readonly string[],
  step: () => Promise<void>,
): AsyncIterable<readonly string[]> {
  let batch: string[] = [];
  let length = 0;
  for await (const row of table.rows({ columns })) {
    const text = comparedText(row, columns);
    batch.push(text);
    length += text.length + 1;
    await step();
    if (length < batchLength) continue;
    yield batch;
    batch = [];
    length = 0;
  }
  if (batch.length > 0) yield batch;
}

export type StartTextWork<Settings, Result> = StartWork<Settings, readonly string[], Result>;
