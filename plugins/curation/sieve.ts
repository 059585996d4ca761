import { setImmediate } from 'node:timers/promises';
import { type Columns, formatCount, pace, type Row, type StageContext, type TableArtifact, textIn } from 'simmerkit';
import { decisionColumns } from './sieve-outputs.js';

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

type SieveContext = Pick<
  StageContext<unknown, Record<string, never>>,
  'stage' | 'signal' | 'log' | 'emit' | 'artifacts'
>;

interface Sieved {
  readonly dataset: TableArtifact;
  readonly decisions: TableArtifact;
}

/** Undefined, or a `Keep` with its reason: the row is kept. Called once a row, in order. */
type Judge = (row: Row, index: number) => Drop | Keep | undefined;

/** What was found of the row with this index. May be asked again. */
export type VerdictOn = (index: number) => Drop | Keep | undefined;

/** What a thread found in a batch of rows. */
export interface FoundDrops {
  /** Rows in the batch. */
  readonly count: number;
  readonly drops: readonly (Drop & { readonly at: number })[];
}

/** @param judge of the rows of a batch @returns those it drops, as a thread tells them */
export function findDrops(rows: readonly Row[], judge: (row: Row) => Drop | undefined): FoundDrops {
  const drops = rows.flatMap((row, at) => {
    const drop = judge(row);
    return drop === undefined ? [] : [{ at, ...drop }];
  });
  return { count: rows.length, drops };
}

/** Puts together what threads found. @returns drops by the index of their row */
export async function gatherDrops(found: AsyncIterable<FoundDrops>): Promise<ReadonlyMap<number, Drop>> {
  const gathered = new Map<number, Drop>();
  let first = 0;
  for await (const { count, drops } of found) {
    for (const { at, ...drop } of drops) gathered.set(first + at, drop);
    first += count;
  }
  return gathered;
}

/** Judges one row after the other. @param columns that the judge gets */
export async function judgeRows(
  context: SieveContext,
  dataset: TableArtifact,
  columns: readonly string[],
  judge: Judge,
): Promise<VerdictOn> {
  const steps = pace(context, { unit: 'rows', total: dataset.rowCount });
  const verdicts = new Map<number, Drop | Keep>();
  for await (const row of dataset.rows({ columns })) {
    const verdict = judge(row, steps.done);
    if (verdict !== undefined) verdicts.set(steps.done, verdict);
    await steps.step();
  }
  await steps.finish();
  return (index) => verdicts.get(index);
}

/**
 * Writes the rows that are kept, in their order, and the decisions about all of them; tells the funnel. The rows go from
 * file to file as they are.
 */
export async function sieve(context: SieveContext, dataset: TableArtifact, verdictOn: VerdictOn): Promise<Sieved> {
  const { positions, judged, dropped } = await judgedRows(dataset.rowCount, verdictOn);
  const { signal } = context;
  const { id, ...columns } = decisionColumns;
  const rows = (index: number) => decisionOn(verdictOn(judged[index] as number));
  const few = { positions: judged, others: decisionOn(undefined) };
  const steps = pace(context, { unit: 'rows written', total: positions.length });
  const onRows = (count: number) => void steps.step(undefined, count).catch(() => {});
  const writing = [
    dataset.columns.id === id
      ? context.artifacts.deriveDataset(dataset, { columns: ['id'], added: { columns, rows, few }, signal })
      : context.artifacts.writeDataset(decisionRows(dataset, verdictOn, signal), { columns: decisionColumns }),
    context.artifacts.deriveDataset(dataset, { positions, signal, onRows }),
  ] as const;
  // Where one fails, the other is not left at it.
  await Promise.allSettled(writing);
  const [decisions, kept] = await Promise.all(writing);
  await tellFunnel(context, decisions, kept, dropped);
  return { dataset: kept, decisions };
}

/** Of rows whose ids are no text, as the numbers of a plugin. */
async function* decisionRows(dataset: TableArtifact, verdictOn: VerdictOn, signal: AbortSignal): AsyncIterable<Row> {
  let index = 0;
  for await (const row of dataset.rows({ columns: ['id'] })) {
    signal.throwIfAborted();
    yield { id: textIn(row, 'id'), ...decisionOn(verdictOn(index++)) };
  }
}

/** Rows whose verdicts are asked for before other work has its turn. */
const rowsAtOnce = 4096;

/** Where the rows stand that are kept, and those that there is something to say of. */
async function judgedRows(rowCount: number, verdictOn: VerdictOn) {
  const kept: number[] = [];
  const judged: number[] = [];
  const dropped: Record<string, number> = {};
  for (let index = 0; index < rowCount; index++) {
    if (index % rowsAtOnce === 0) await setImmediate();
    const verdict = verdictOn(index);
    if (verdict !== undefined) judged.push(index);
    if (isKept(verdict)) kept.push(index);
    else count(dropped, verdict.rule);
  }
  return { positions: Uint32Array.from(kept), judged: Uint32Array.from(judged), dropped };
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
      const verdict = judge(row, decisionRows.length);
      decisionRows.push({ id: textIn(row, 'id'), ...decisionOn(verdict) });
      if (isKept(verdict)) yield shape.change(row);
      else count(dropped, verdict.rule);
      await steps.step();
    }
  }
  const kept = await context.artifacts.writeDataset(keptRows(), { columns: shape.columns });
  const decisions = await context.artifacts.writeDataset(decisionRows, { columns: decisionColumns });
  await steps.finish();
  await tellFunnel(context, decisions, kept, dropped);
  return { dataset: kept, decisions };
}

function decisionOn(verdict: Drop | Keep | undefined) {
  // An expression without the flag u may match half a character, which a table cannot hold.
  const evidence = verdict?.evidence?.toWellFormed() ?? null;
  return { kept: isKept(verdict), rule: verdict?.rule ?? null, evidence };
}

function count(dropped: Record<string, number>, rule: string): void {
  dropped[rule] = (dropped[rule] ?? 0) + 1;
}

function isKept(verdict: Drop | Keep | undefined): verdict is Keep | undefined {
  return verdict === undefined || 'kept' in verdict;
}

/** Tells how many rows are left, and warns where none is: the stages after this one would succeed with nothing. */
async function tellFunnel(
  { stage, log, emit }: SieveContext,
  { rowCount: rowsIn }: TableArtifact,
  { rowCount: rowsOut }: TableArtifact,
  dropped: Readonly<Record<string, number>>,
): Promise<void> {
  await emit({ type: 'funnel.counted', data: { step: stage, rowsIn, rowsOut, dropped } });
  if (rowsIn === 0 || rowsOut > 0) return;
  const rules = Object.entries(dropped).map(([rule, rows]) => `${rule} ${formatCount(rows)}`);
  log.warning(
    `No row is left of ${formatCount(rowsIn)} (${rules.join(', ')}): the next stages have nothing to work on. ` +
      `\`simmer rows latest ${stage}.decisions\` shows why.`,
  );
}
