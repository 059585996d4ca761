import { closeSync, openSync, readSync } from 'node:fs';
import { relative } from 'node:path';
import type { Colors } from 'picocolors/types.js';
import {
  type ErrorRecord,
  exitCodes,
  isUserError,
  type Problem,
  type SourcePosition,
  secretInRecipe,
} from '../errors.js';
import { wrapLine } from '../wrap-text.js';
import { withCall } from './simmer-call.js';
import { visibleLines } from './terminal.js';

/** Longest excerpt of a line, in characters; of a longer line the part around the column is shown. */
const excerptWidth = 100;
/** How far into a file an excerpt is looked for. */
const excerptReach = 4_000_000;
/** Files whose lines are not those that a position in them counts: they are packed, or no text. */
const linesOutOfSight = /\.(gz|zst|xz|parquet)$/i;
/** More problems than this are counted, not listed. */
const problemsShown = 50;

interface PrintErrorOptions {
  readonly colors: Colors;
  /** Paths are shown relative to it. */
  readonly cwd: string;
  readonly version: string;
  /** Columns of the terminal: sentences are broken between words. Default: not at all. */
  readonly width?: number;
}

/** The exit code that an error leads to. */
export function exitCodeOf(error: unknown): number {
  return isUserError(error) ? exitCodes[error.kind] : exitCodes.bug;
}

/** The exit code of a run that failed: the machine's fault is told apart. */
export function exitCodeOfFailedRun(error: ErrorRecord): number {
  return error.kind === 'environment' ? exitCodes.environment : exitCodes.runFailed;
}

/**
 * An error as people read it: what, where with an excerpt, what to do; for a bug its stack. It may quote what others wrote:
 * names of files, rows, recipes of other clients.
 */
export function errorLines(error: ErrorRecord, options: PrintErrorOptions): readonly string[] {
  const { colors, width } = options;
  const lines = [
    ...told(`${colors.red(colors.bold(`error[${visibleLines(error.code)}]`))}: ${visibleLines(error.message)}`, width),
  ];
  const problems = error.problems ?? [];
  const unseen = new Set(problems.filter(({ code }) => code === secretInRecipe).map(lineOf));
  for (const problem of problems.slice(0, problemsShown)) {
    lines.push(...problemLines(problem, error.message, { ...options, isLineShown: !unseen.has(lineOf(problem)) }));
  }
  if (problems.length > problemsShown) lines.push(`… and ${problems.length - problemsShown} more`);
  const isSaid = problems.slice(0, problemsShown).some(({ hint }) => hint === error.hint);
  if (error.hint !== undefined && !isSaid)
    lines.push(...told(`${colors.cyan('hint')}: ${visibleLines(error.hint)}`, width));
  if (error.stack !== undefined) lines.push(colors.dim(visibleLines(error.stack)));
  if (error.code === 'bug') {
    const please = withCall('Please report it with these lines and what `simmer doctor` prints.');
    lines.push(...told(`This is a bug in Simmer ${options.version} or in a plugin. ${please}`, width));
  }
  return lines;
}

function told(text: string, width?: number): readonly string[] {
  return text.split('\n').flatMap((line) => wrapLine(line, width));
}

function lineOf({ position }: Problem): string | undefined {
  return position && `${position.file}:${position.line}`;
}

/** @param said the message above it: what ends it is not said again */
function problemLines(
  problem: Problem,
  said: string,
  options: PrintErrorOptions & { readonly isLineShown: boolean },
): readonly string[] {
  const { colors, isLineShown, width } = options;
  const { position } = problem;
  const { path } = problem;
  const place =
    position === undefined ? path && visibleLines(path) : colors.bold(visibleLines(placeOf(position, options.cwd)));
  const text = [place, said.endsWith(problem.message) ? undefined : visibleLines(problem.message)].filter(
    (part) => part !== undefined,
  );
  return [
    ...(text.length === 0 ? [] : told(text.join(': '), width)),
    ...(position === undefined || !isLineShown ? [] : excerptLines(position, colors)),
    ...(problem.hint === undefined ? [] : told(`  ${colors.cyan('hint')}: ${visibleLines(problem.hint)}`, width)),
  ];
}

function placeOf({ file, line, column }: SourcePosition, cwd: string): string {
  const shorter = relative(cwd, file);
  return `${shorter === '' || shorter.startsWith('..') ? file : shorter}:${line}:${column}`;
}

function excerptLines({ file, line, column }: SourcePosition, colors: Colors): readonly string[] {
  const text = readLine(file, line);
  if (text === undefined || text.trim() === '') return [];
  const isWhole = text.length <= excerptWidth || column <= excerptWidth / 2;
  const from = isWhole ? 0 : column - excerptWidth / 2;
  const shown = text.slice(from, from + excerptWidth).replaceAll('\t', ' ');
  const number = String(line);
  return [
    colors.dim(` ${number} | `) + shown,
    `${' '.repeat(number.length + 1)}${colors.dim(' | ')}${' '.repeat(Math.max(0, column - 1 - from))}${colors.red('^')}`,
  ];
}

/** A line of a file that may have changed or gone since. */
function readLine(file: string, line: number): string | undefined {
  if (linesOutOfSight.test(file)) return undefined;
  let text: string;
  try {
    const handle = openSync(file, 'r');
    try {
      const buffer = Buffer.alloc(excerptReach);
      text = buffer.toString('utf8', 0, readSync(handle, buffer, 0, excerptReach, 0));
    } finally {
      closeSync(handle);
    }
  } catch {
    return undefined;
  }
  const found = text.split('\n')[line - 1];
  return found === undefined ? undefined : visibleLines(found);
}
