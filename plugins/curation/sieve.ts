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

/**
 * Writes the rows that a judge keeps, in their order, and the decisions about all of them; tells the funnel.
 * @param judge undefined, or a `Keep` with its reason: the row is kept. Called once a row, in order
 */
export async function sieve(
  context: SieveContext,
  dataset: TableArtifact,
  judge: (row: Row, index: number) => Drop | Keep | undefined,
  shape: { readonly columns?: Columns; readonly change?: (row: Row) => Row } = {},
): Promise<{ readonly dataset: TableArtifact; readonly decisions: TableArtifact }> {
  const steps = pace(context, { unit: 'rows', total: dataset.rowCount });
  const decisions: Row[] = [];
  const dropped: Record<string, number> = {};
  async function* keptRows(): AsyncIterable<Row> {
    let index = 0;
    for await (const row of dataset.rows()) {
      const verdict = judge(row, index++);
      const drop = verdict === undefined || 'kept' in verdict ? undefined : verdict;
      decisions.push({
        id: textIn(row, 'id'),
        kept: drop === undefined,
        rule: verdict?.rule ?? null,
        evidence: verdict?.evidence ?? null,
      });
      if (drop === undefined) yield shape.change?.(row) ?? row;
      else dropped[drop.rule] = (dropped[drop.rule] ?? 0) + 1;
      await steps.step();
    }
  }
  const kept = await context.artifacts.writeDataset(keptRows(), { columns: shape.columns ?? dataset.columns });
  await steps.finish();
  await context.emit({
    type: 'funnel.counted',
    data: { step: context.stage, rowsIn: decisions.length, rowsOut: kept.rowCount, dropped },
  });
  return { dataset: kept, decisions: await context.artifacts.writeDataset(decisions, { columns: decisionColumns }) };
}
