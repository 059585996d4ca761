import type { Colors } from 'picocolors/types.js';
import type { Row, TableArtifact } from '../../artifacts/artifact.js';
import { StoredTable } from '../../artifacts/stored-artifact.js';
import { readRunState } from '../../engine/run-history.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatCount } from '../../figures.js';
import { LocalWorkspace } from '../local-workspace.js';
import { refuseServer, serverOf } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';
import { findOutput } from './artifacts.js';

export interface RowsFlags extends WorkspaceFlags {
  /** Which rows, from 0. */
  readonly rows: readonly number[];
}

/** Rows of a table, with their positions in it. */
export interface FoundRows {
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

/** @throws UserError `run_not_found`, `output_not_found`, `output_no_table` */
export async function readRows(name: string, output: string, flags: RowsFlags): Promise<FoundRows> {
  const fetching = `\`simmer artifacts ${name} --get ${output}\` fetches the table from there: a Parquet file, for any reader of those.`;
  refuseServer('rows', serverOf(flags), fetching);
  await using workspace = await LocalWorkspace.open(flags);
  const table = await openTable(workspace, await workspace.find(name), output);
  const { rowCount } = table;
  const positions = [...new Set(flags.rows)]
    .filter((position) => position < rowCount)
    .sort((one, other) => one - other);
  const found: Row[] = [];
  for await (const row of table.rows({ positions: Uint32Array.from(positions) })) found.push(row);
  return { found, positions, rowCount };
}

async function openTable(workspace: LocalWorkspace, run: RunSummary, name: string): Promise<TableArtifact> {
  const { stage, output, type } = findOutput(name, await workspace.artifacts(run), run);
  const uri = (await readRunState(run.runFolder)).stages[stage]?.outputs?.[output];
  const artifact = uri === undefined ? undefined : await (await workspace.store()).open(uri);
  if (artifact instanceof StoredTable) return artifact;
  throw new UserError('output_no_table', `${name} is a ${type}, which has no rows.`, {
    hint: `\`simmer artifacts ${run.runId} --get ${name}\` fetches its files.`,
  });
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
