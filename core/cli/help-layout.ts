import stringWidth from 'string-width';
import { wrapLine, wrapText } from '../wrap-text.js';
import { tableLines } from './table.js';
import { columnsOf } from './terminal.js';

const exitCodes = [
  ['0', 'done'],
  ['1', 'a bug, of Simmer or of a plugin'],
  ['2', 'something is wrong with the recipe, an option or a name'],
  [
    '3',
    'something is wrong with the machine or a server: no Python, no space on the disk, a run that another process holds',
  ],
  ['4', 'the run started and failed, or a check of `verify` did'],
  ['5', 'a limit of the budget was reached; to go on with a higher one: simmer resume latest --set budget.usd=80'],
  ['130', 'stopped by Ctrl-C or a signal'],
];

const afterExitCodes =
  'A run that ended with 4 or 130 goes on with `simmer resume latest`, by its recipe as it was. With a changed one, ' +
  '`simmer run` does nothing twice.';

/** What the codes mean that a command ends with, as wide as help is. */
export function exitCodesHelp(): string {
  const columns = columnsOf(process.stdout);
  const width = columns === Number.POSITIVE_INFINITY ? 80 : columns;
  const meanings = tableLines(exitCodes, { indent: '  ', width });
  return ['Exit codes:', ...meanings, ...wrapText(afterExitCodes, width), 'More: docs/errors.md'].join('\n');
}

/** A term and what it means, or a command and what it does. */
const inTwoColumns = /^( +)(\S.*?) {2,}(\S.*)$/;

/**
 * Help as it was laid out, for a terminal that may be narrower: what stands in a second column then comes below the first,
 * and sentences are broken between words. Commands to type stay whole.
 */
export function fittedHelp(help: string, stream: NodeJS.WriteStream): string {
  const columns = columnsOf(stream);
  const lines = help
    .split('\n')
    .flatMap((line) => (stringWidth(line) <= columns ? [line] : narrowLines(line, columns)));
  return lines.join('\n');
}

function narrowLines(line: string, columns: number): readonly string[] {
  const [, indent, term, meaning] = inTwoColumns.exec(line) ?? [];
  if (indent !== undefined && term !== undefined && meaning !== undefined) {
    const below = ' '.repeat(indent.length + 4);
    return [indent + term, ...wrapText(meaning, columns - below.length).map((one) => below + one)];
  }
  return line.startsWith(' ') ? [line] : wrapLine(line, columns);
}
