import type { Colors } from 'picocolors/types.js';
import { type CheckResult, haveAllPassed } from '../testing/verification.js';

/** A row of the table; below it, where a check failed, what it expected and saw. @param width of the longest name */
export function resultLines(
  { name, status, expected, saw, stderr, seconds }: CheckResult,
  width: number,
  colors: Colors,
): readonly string[] {
  const marks = {
    passed: colors.green('passed'),
    failed: colors.red('failed'),
    notDeclared: colors.dim('–     '),
    notRun: colors.yellow('notrun'),
  };
  const time = status === 'passed' || status === 'failed' ? `${seconds.toFixed(1)} s` : '';
  const row = `${marks[status]}  ${name.padEnd(width)}  ${time.padStart(7)}`;
  if (status !== 'failed') return [`${row}  ${colors.dim(saw ?? '')}`.trimEnd()];
  const indented = (text: string) => text.replaceAll('\n', '\n                  ');
  return [
    row,
    `        expected: ${expected}`,
    `        saw:      ${indented(saw ?? 'nothing')}`,
    ...(stderr === undefined ? [] : [`        stderr:   ${indented(stderr)}`]),
  ];
}

/** What came of all of them. @param undeclared in words: "of capabilities that it does not declare" */
export function summaryLine(
  {
    who,
    contract,
    results,
    undeclared,
  }: {
    readonly who: string;
    readonly contract: string;
    readonly results: readonly CheckResult[];
    readonly undeclared: string;
  },
  colors: Colors,
): string {
  const count = (status: CheckResult['status']) => results.filter((result) => result.status === status).length;
  const counts = [
    `${count('passed')} passed`,
    `${count('failed')} failed`,
    ...(count('notDeclared') === 0 ? [] : [`${count('notDeclared')} ${undeclared}`]),
    ...(count('notRun') === 0 ? [] : [`${count('notRun')} not run`]),
  ];
  const verdict = haveAllPassed(results)
    ? colors.green(`keeps the contract of ${contract}`)
    : colors.red(`does not keep the contract of ${contract}`);
  return `${who} ${verdict}: ${counts.join(', ')}.`;
}
