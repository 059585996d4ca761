import type { Colors } from 'picocolors/types.js';
import type { RowAttempt, RowDecision, RowHistory, RowStep } from '../../engine/past-runs/explain-row.js';
import { exitCodes } from '../../errors.js';
import { formatCount } from '../../figures.js';
import { wrapLine } from '../../wrap-text.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, columnsOf, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer explain`: what became of one row of a run, stage by stage, and why. */
export async function explain(name: string, row: string, flags: WorkspaceFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const history = await workspace.explainRow(await workspace.find(name), row);
  if (flags.json) await writeJson(history);
  else await writeLine(historyLines(history, colorsFor(process.stdout), columnsOf(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** The history for people. @param width columns of the terminal; endless by default */
export function historyLines(history: RowHistory, colors: Colors, width = Number.POSITIVE_INFINITY): readonly string[] {
  const { id, question, source, steps, stagesLeft } = history;
  const rows = steps.flatMap((step) =>
    stepLines(step).map(([outcome, why], index) => [
      index === 0 ? step.stage : '',
      index === 0 ? colors.dim(step.uses) : '',
      outcomeWord(outcome, colors),
      why,
    ]),
  );
  return [
    `${colors.bold(id)}${source === null ? '' : colors.dim(` from ${visibleText(source, 160)}`)}`,
    ...(question === null ? [] : wrapLine(`  ${visibleText(question, 160)}`, width)),
    '',
    ...tableLines(rows, { indent: '  ', width }),
    '',
    ...wrapLine(conclusion(steps), width),
    ...(stagesLeft.length === 0
      ? []
      : wrapLine(`Not done yet: ${stagesLeft.join(', ')}.`, width).map((line) => colors.dim(line))),
  ];
}

function stepLines(step: RowStep): readonly (readonly [string, string])[] {
  switch (step.outcome) {
    case 'seen':
      return [thereLine(step)];
    case 'leftOut':
      return [['left out', 'is in its dataset and in none of its outputs']];
    case 'graded':
      return [...attemptLines(step.attempts)];
    case 'kept':
    case 'dropped':
      return [
        ...attemptLines(step.attempts),
        ...(step.outcome === 'kept' && !step.decisions.some(({ kept }) => kept) ? [thereLine(step)] : []),
        ...step.decisions.map((decision) => [decision.kept ? 'kept' : 'dropped', reasonOf(decision)] as const),
      ];
  }
}

function thereLine({ outputs, rows }: RowStep): readonly [string, string] {
  return ['there', `in ${outputs.map((name) => placed(name, rows?.[name])).join(', ')}`];
}

const rowsShown = 8;

/** Several rows with one id are told apart by where they are. */
function placed(output: string, rows: readonly number[] = []): string {
  if (rows.length === 0) return output;
  const others = rows.length > rowsShown ? ` and ${formatCount(rows.length - rowsShown)} more` : '';
  return `${output} (rows ${rows.slice(0, rowsShown).map(formatCount).join(', ')}${others})`;
}

/** A line a model and policy: how often it was right, and its answers. */
function attemptLines(attempts: readonly RowAttempt[]): Iterable<readonly [string, string]> {
  const groups = new Map<string, RowAttempt[]>();
  for (const attempt of attempts) groups.set(groupName(attempt), [...(groups.get(groupName(attempt)) ?? []), attempt]);
  return [...groups].map(([name, group]) => {
    const right = group.filter(({ verdict }) => verdict === 'right').length;
    const answers = group.map(({ extracted, verdict }) => `${visibleText(extracted ?? 'no answer', 24)} (${verdict})`);
    return ['graded', `${name}: right in ${right} of ${group.length}: ${answers.slice(0, 8).join(', ')}`] as const;
  });
}

function groupName({ model, policy }: RowAttempt): string {
  return visibleText(`${model ?? 'model'}${policy === null || policy === 'none' ? '' : ` at ${policy}`}`, 160);
}

function reasonOf({ rule, evidence, row }: RowDecision): string {
  const parts = [rule, evidence].filter((part) => part !== null).map((part) => visibleText(part, 200));
  const reason = parts.length === 0 ? 'no rule spoke against it' : parts.join(': ');
  return row === undefined ? reason : `row ${formatCount(row)}: ${reason}`;
}

/**
 * What the last stage that decided about the row said. Of branches that only look at some rows (a sample that a model
 * attempts) a row may be left out and still be chosen.
 */
function conclusion(steps: readonly RowStep[]): string {
  const last = steps.findLast(({ outcome }) => outcome === 'kept' || outcome === 'dropped' || outcome === 'leftOut');
  if (last?.outcome === 'leftOut') return `Left out by ${last.stage}.`;
  if (last?.outcome === 'dropped') {
    const [reason] = last.decisions;
    return `Dropped by ${last.stage}${reason === undefined ? '' : `, ${reasonOf(reason)}`}.`;
  }
  const choice = steps.findLast(({ decisions }) => decisions.some(({ kept, rule }) => kept && rule !== null));
  const reason = choice?.decisions.find(({ kept, rule }) => kept && rule !== null);
  const isHalved = steps.some(({ outcome, decisions }) => outcome === 'kept' && decisions.some(({ kept }) => !kept));
  return choice === undefined || reason === undefined
    ? `No stage dropped ${isHalved ? 'all rows with this id' : 'it'}; it was last seen in ${steps.at(-1)?.stage ?? 'none'}.`
    : `Chosen by ${choice.stage}, ${reasonOf(reason)}.`;
}

function outcomeWord(word: string, colors: Colors): string {
  if (word === 'dropped' || word === 'left out') return colors.red(word);
  return word === 'kept' ? colors.green(word) : word;
}
