import type { Colors } from 'picocolors/types.js';
import stringWidth from 'string-width';
import type { RunSummary } from '../../engine/run-outcome.js';
import { secondsBetween } from '../../engine/spending/spending-state.js';
import { exitCodes } from '../../errors.js';
import { formatCount, formatDuration } from '../../figures.js';
import { wrapLine } from '../../wrap-text.js';
import { openWorkspace } from '../open-workspace.js';
import { simmerCall } from '../simmer-call.js';
import { tableLines } from '../table.js';
import { colorsFor, mostOfChange, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer runs`: the runs of this home, newest first. */
export async function runs(flags: WorkspaceFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const summaries = [...(await workspace.runs())].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  if (flags.json) await writeJson(summaries);
  else if (summaries.length === 0)
    await writeLine(`No runs in ${workspace.place}. Start one with: ${simmerCall()} run`);
  else {
    const { columns } = process.stdout;
    const options = { now: new Date(), colors: colorsFor(process.stdout), ...(columns ? { width: columns } : {}) };
    await writeLine(runLines(summaries, options).join('\n'));
  }
  return exitCodes.ok;
}

interface RunLinesOptions {
  readonly now: Date;
  readonly colors: Colors;
  /** Of the lines: what the command line changed is wrapped to it. @default as wide as it is */
  readonly width?: number;
}

/** The runs as a table for people. */
export function runLines(summaries: readonly RunSummary[], options: RunLinesOptions): readonly string[] {
  const { now, colors, width } = options;
  const titles = ['run', 'recipe', 'status', 'stages', 'events', 'started', 'took', 'changed'];
  const heading = titles.map((title) => colors.dim(title));
  const rows = summaries.map((run) => [
    run.runId,
    run.recipe,
    statusWord(run.status, colors),
    `${run.stagesDone}/${run.stagesTotal}`,
    formatCount(run.events),
    ago(run.startedAt, now),
    tookOf(run),
    changedOf(run)
      .map((change) => visibleText(change, mostOfChange))
      .join(' '),
  ]);
  const table = [heading, ...rows];
  const right = [3, 4, 5, 6];
  if (width === undefined) return tableLines(table, { right });
  const withoutChanged = table.map((row) => row.slice(0, -1));
  const leftForChanged = (drop: readonly number[]) => {
    const columns = withoutChanged.map((row) => row.filter((_, column) => !drop.includes(column)));
    return width - Math.max(...tableLines(columns).map((line) => stringWidth(line)));
  };
  const hasChanged = summaries.some((run) => changedOf(run).length > 0);
  if (leftForChanged([]) >= (hasChanged ? leastForChanged : 0)) return tableLines(table, { right, width });
  // The id begins with the recipe's name.
  if (hasChanged && leftForChanged([1]) >= leastForChanged) {
    const others = table.map((row) => row.toSpliced(1, 1));
    return tableLines(others, { right: right.map((column) => column - 1), width });
  }
  const lines = tableLines(withoutChanged, { right, width, drop: [1, 4, 6, 3] });
  return lines.flatMap((line, row) => [
    line,
    ...(row === 0 || table[row]?.at(-1) === '' ? [] : wrapLine(`  ${table[row]?.at(-1)}`, width).map(colors.dim)),
  ]);
}

/** Of a column, with the space before it: in less of it, what the command line changed is hard to read. */
const leastForChanged = 22;

/** What it is besides a run of its recipe as that is written. */
function changedOf({ inspects, changes = [] }: RunSummary): readonly string[] {
  return [...(inspects === undefined ? [] : [`inspects ${inspects}`]), ...changes];
}

function statusWord(status: RunSummary['status'], colors: Colors): string {
  switch (status) {
    case 'completed':
      return colors.green('completed');
    case 'queued':
      return colors.dim('queued');
    case 'running':
      return colors.cyan('running');
    case 'failed':
      return colors.red('failed');
    case 'crashed':
      return colors.red('crashed');
    case 'interrupted':
      return colors.yellow('interrupted');
  }
}

/** Nothing where the machine's clock was set back between two cores that had the run. */
function tookOf({ startedAt, endedAt }: RunSummary): string {
  return endedAt === undefined || endedAt < startedAt ? '' : formatDuration(secondsBetween(startedAt, endedAt));
}

/** The clock of a server may be ahead of ours by so much, and nobody has set either. */
const skewMilliseconds = 60_000;

function ago(time: string, now: Date): string {
  if (Date.parse(time) > now.getTime() + skewMilliseconds) return time.slice(0, 16).replace('T', ' ');
  return `${formatDuration(secondsBetween(time, now.toISOString()))} ago`;
}
