import { type Columns, pace, type Row, type StageContext, type TableArtifact, textIn } from 'simmerkit';

/** Why a row is dropped: the rule's name in the funnel, and what it was found by. */
export interface Drop {
  readonly rule: string;
  readonly evidence?: string;
}

/** Why a row is kept, where there is more to say than that no rule dropped it. */
export interface Keep {
  readonly kept: true;
  readonly rule?: string;
  readonly evidence?: string;
}

/** What a step says of each row. */
export const decisionColumns: Columns = { id: 'VARCHAR', kept: 'BOOLEAN', rule: 'VARCHAR', evidence: 'VARCHAR' };

type SieveContext = Pick<StageContext<unknown, Record<string, never>>, 'stage' | 'signal' | 'emit' | 'artifacts'>;

interface Sieved {
  readonly dataset: TableArtifact;
  readonly decisions: TableArtifact;
}

/** Undefined, or a `Keep` with its reason: the row is kept. Called once a row, in order. */
export type Judge = (row: Row, index: number) => Drop | Keep | undefined;

/**
 * Writes the rows that a judge keeps, in their order, and the decisions about all of them; tells the funnel. The rows go
 * from file to file as they are.
 * @param judge gets the columns `read`, and `id`
 */
export async function sieve(
  context: SieveContext,
  dataset: TableArtifact,
  judge: Judge,
  { read }: { readonly read: readonly string[] },
): Promise<Sieved> {
  const steps = pace(context, { unit: 'rows', total: dataset.rowCount });
  const dropped: Record<string, number> = {};
  const positions: number[] = [];
  async function* decisionRows(): AsyncIterable<Row> {
    let index = 0;
    for await (const row of dataset.rows({ columns: [...new Set(['id', ...read])] })) {
      const decision = decide(row, judge(row, index), dropped);
      if (decision.kept) positions.push(index);
      index++;
      yield decision;
      await steps.step();
    }
  }
  const decisions = await context.artifacts.writeDataset(decisionRows(), { columns: decisionColumns });
  const kept = await context.artifacts.deriveDataset(dataset, { positions: Uint32Array.from(positions) });
  await steps.finish();
  await tellFunnel(context, decisions, kept, dropped);
  return { dataset: kept, decisions };
}

/** As `sieve`, for rows that are changed. @param shape their columns, and what becomes of a row that is kept */
export async function sieveAndChange(
  context: SieveContext,
  dataset: TableArtifact,
  judge: Judge,
  shape: { readonly columns: Columns; readonly change: (row: Row) => Row },
): Promise<Sieved> {
  const steps = pace(context, { unit: 'rows', total: dataset.rowCount });
  const dropped: Record<string, number> = {};
  const decisionRows: Row[] = [];
  async function* keptRows(): AsyncIterable<Row> {
    for await (const row of dataset.rows()) {
      const decision = decide(row, judge(row, decisionRows.length), dropped);
      decisionRows.push(decision);
      if (decision.kept) yield shape.change(row);
      await steps.step();
    }
  }
  const kept = await context.artifacts.writeDataset(keptRows(), { columns: shape.columns });
  const decisions = await context.artifacts.writeDataset(decisionRows, { columns: decisionColumns });
  await steps.finish();
  await tellFunnel(context, decisions, kept, dropped);
  return { dataset: kept, decisions };
}

function decide(row: Row, verdict: Drop | Keep | undefined, dropped: Record<string, number>) {
  const kept = verdict === undefined || 'kept' in verdict;
  if (!kept) dropped[verdict.rule] = (dropped[verdict.rule] ?? 0) + 1;
  return { id: textIn(row, 'id'), kept, rule: verdict?.rule ?? null, evidence: verdict?.evidence ?? null };
}

function tellFunnel(
  context: SieveContext,
  decisions: TableArtifact,
  kept: TableArtifact,
  dropped: Readonly<Record<string, number>>,
): Promise<void> {
  const data = { step: context.stage, rowsIn: decisions.rowCount, rowsOut: kept.rowCount, dropped };
  return context.emit({ type: 'funnel.counted', data });
}
