import type { Colors } from 'picocolors/types.js';
import type { Row } from '../../artifacts/artifact.js';
import type { TableRows } from '../../artifacts/table-file.js';
import { suggestion } from '../../document/nearest-name.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatCount, formatCounted } from '../../figures.js';
import { fitsPattern } from '../../files/name-pattern.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';
import { findOutput } from './artifacts.js';

interface RowsFlags extends WorkspaceFlags {
  /** Which rows, from 0; with `where`, which of those that fit. */
  readonly rows: readonly number[];
  readonly where: readonly Condition[];
}

/** What a column holds in the rows that are meant: a pattern of `*` and `?`. */
export interface Condition {
  readonly column: string;
  readonly pattern: string;
}

/** Rows of a table, with their positions in it. */
interface FoundRows {
  readonly found: readonly Row[];
  readonly positions: readonly number[];
  /** Of the table. */
  readonly rowCount: number;
  /** How many fit, where conditions were given. */
  readonly fitting?: number;
}

/** `simmer rows`: rows of a dataset, of generations or of graded answers that a run has made. */
export async function rows(name: string, output: string, flags: RowsFlags): Promise<number> {
  const read = await readRows(name, output, flags);
  if (flags.json) await writeJson(read.found);
  else {
    const shape = { colors: colorsFor(process.stdout), width: process.stdout.columns || 100 };
    await writeLine(rowLines(read, shape).join('\n'));
  }
  return exitCodes.ok;
}

/** @throws UserError `run_not_found`, `output_not_found`, `output_not_whole`, `output_no_table`, `missing_column` */
export async function readRows(name: string, output: string, flags: RowsFlags): Promise<FoundRows> {
  await using workspace = await openWorkspace(flags);
  const run = await workspace.find(name);
  const artifact = await findOutput(output, await workspace.artifacts(run), run, workspace);
  if (artifact.type !== 'dataset' && artifact.type !== 'generations') {
    throw new UserError('output_no_table', `${output} is a ${artifact.type}, which has no rows.`, {
      hint: `\`simmer artifacts ${run.runId} --get ${output}\` fetches its files.`,
    });
  }
  const table = await workspace.openTable(artifact);
  const { rowCount } = table;
  const wanted = [...new Set(flags.rows)].sort((one, other) => one - other);
  const fitting = flags.where.length === 0 ? undefined : await fittingRows(table, output, flags.where);
  const positions =
    fitting === undefined
      ? wanted.filter((position) => position < rowCount)
      : wanted.flatMap((place) => fitting[place] ?? []);
  const found: Row[] = [];
  for await (const row of table.rows({ positions: Uint32Array.from(positions) })) found.push(row);
  return { found, positions, rowCount, ...(fitting === undefined ? {} : { fitting: fitting.length }) };
}

/** Where the rows stand that fit all conditions, ascending. @throws UserError `missing_column` */
async function fittingRows(table: TableRows, output: string, where: readonly Condition[]): Promise<readonly number[]> {
  const known = Object.keys(table.columns);
  for (const { column } of where) {
    if (known.includes(column)) continue;
    const hint = suggestion(column, known);
    throw new UserError('missing_column', `${output} has no column "${column}".`, hint === undefined ? {} : { hint });
  }
  const fitting: number[] = [];
  let position = 0;
  for await (const row of table.rows({ columns: [...new Set(where.map(({ column }) => column))] })) {
    if (where.every(({ column, pattern }) => fitsPattern(shown(row[column]), pattern))) fitting.push(position);
    position++;
  }
  return fitting;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Longest text of a cell, in characters; `--json` has all of it. */
const longestText = 400;

/** Rows for people: a line a column. */
export function rowLines(
  { found, positions, rowCount, fitting }: FoundRows,
  { colors, width }: { readonly colors: Colors; readonly width: number },
): readonly string[] {
  const lines = found.flatMap((row, index) => {
    const cells = Object.entries(row).map(([column, value]) => [
      colors.dim(visibleText(column, longestText)),
      visibleText(shown(value), longestText),
    ]);
    return [colors.bold(`row ${positions[index]}`), ...tableLines(cells, { indent: '  ', width }), ''];
  });
  const all = formatCounted(rowCount, 'row');
  const of = fitting === undefined ? all : `${formatCount(fitting)} that fit, of ${all}`;
  return [...lines, colors.dim(`${formatCount(found.length)} of ${of}`)];
}
