import type { Colors } from 'picocolors/types.js';
import type { Row } from '../../artifacts/artifact.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatCount } from '../../figures.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';
import { findOutput } from './artifacts.js';

interface RowsFlags extends WorkspaceFlags {
  /** Which rows, from 0. */
  readonly rows: readonly number[];
}

/** Rows of a table, with their positions in it. */
interface FoundRows {
  readonly found: readonly Row[];
  readonly positions: readonly number[];
  /** Of the table. */
  readonly rowCount: number;
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

/** @throws UserError `run_not_found`, `output_not_found`, `output_not_whole`, `output_no_table` */
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
  const positions = [...new Set(flags.rows)]
    .filter((position) => position < rowCount)
    .sort((one, other) => one - other);
  const found: Row[] = [];
  for await (const row of table.rows({ positions: Uint32Array.from(positions) })) found.push(row);
  return { found, positions, rowCount };
}

/** Longest text of a cell, in characters; `--json` has all of it. */
const longestText = 400;

/** Rows for people: a line a column. */
export function rowLines(
  { found, positions, rowCount }: FoundRows,
  { colors, width }: { readonly colors: Colors; readonly width: number },
): readonly string[] {
  const shown = found.flatMap((row, index) => {
    const cells = Object.entries(row).map(([column, value]) => [
      colors.dim(visibleText(column, longestText)),
      visibleText(typeof value === 'string' ? value : JSON.stringify(value), longestText),
    ]);
    return [colors.bold(`row ${positions[index]}`), ...tableLines(cells, { indent: '  ', width }), ''];
  });
  return [...shown, colors.dim(`${formatCount(found.length)} of ${formatCount(rowCount)} rows`)];
}
