import type { Artifact, Row, TableArtifact } from '../artifacts/artifact.js';
import { nearestName } from '../document/nearest-name.js';
import { UserError } from '../errors.js';
import type { ColumnsOf, StageDefinition } from './definitions.js';

/** Checks that a table has the columns that a stage reads. @throws UserError `missing_column` naming what it has instead */
export function requireColumns(
  table: Pick<TableArtifact, 'columns' | 'uri'>,
  names: readonly string[],
  what: string,
): void {
  const problem = columnProblem(Object.keys(table.columns), names, what);
  if (problem !== undefined)
    throw new UserError(problem.code, problem.message, { kind: 'runFailed', hint: problem.hint });
}

/** What is wrong with columns of which some names are missing. */
export function columnProblem(columns: readonly string[], names: readonly string[], what: string) {
  const missing = names.filter((name) => !columns.includes(name));
  const [first] = missing;
  if (first === undefined) return undefined;
  const list = (all: readonly string[]) => all.map((name) => `\`${name}\``).join(', ');
  const meant = nearestName(first, columns);
  return {
    code: 'missing_column',
    message: `${what} has no column ${list(missing)}; it has ${list(columns)}.`,
    hint: `${
      meant === undefined ? '' : `Did you mean \`${meant}\`? `
    }Map your field to it where the data is loaded (\`fields\` of curation/load), or name another column.`,
    missing: first,
  };
}

type Given = Readonly<Record<string, Artifact | readonly Artifact[] | undefined>>;

/** Checks the tables that a stage is given for the columns that it says it reads. @throws UserError `missing_column` */
export function requireInputColumns(
  { inputs, reads }: Pick<StageDefinition, 'inputs' | 'reads'>,
  options: Readonly<Record<string, unknown>>,
  given: Given,
): void {
  for (const [input, names] of Object.entries(reads?.(options, columnsIn(given)) ?? {})) {
    const what = inputs[input]?.many === true ? `A dataset of \`${input}\`` : `The ${input}`;
    for (const table of tablesIn(given, input)) requireColumns(table, names, what);
  }
}

/** The columns of the tables that a stage is given. */
export function columnsIn(given: Given): ColumnsOf {
  return (input) => {
    const tables = tablesIn(given, input);
    return tables.length === 0 ? undefined : [...new Set(tables.flatMap(({ columns }) => Object.keys(columns)))];
  };
}

function tablesIn(given: Given, input: string): readonly TableArtifact[] {
  return [given[input] ?? []].flat().filter(isTable);
}

function isTable(artifact: Artifact): artifact is TableArtifact {
  return 'columns' in artifact;
}

/** The text in a cell; null where it is empty. @throws UserError `wrong_column_type` */
export function textIn(row: Row, column: string): string | null {
  const value = row[column];
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  throw new UserError(
    'wrong_column_type',
    `Column \`${column}\` holds ${Array.isArray(value) ? 'a list' : `a ${typeof value}`}, expected text.`,
    {
      kind: 'runFailed',
      hint: 'Load it as text, or name another column.',
    },
  );
}

/** The number in a cell; null where it is empty. @throws UserError `wrong_column_type` */
export function numberIn(row: Row, column: string): number | null {
  const value = row[column];
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  throw new UserError('wrong_column_type', `Column \`${column}\` holds a ${typeof value}, expected a number.`, {
    kind: 'runFailed',
    hint: 'Name a column of numbers.',
  });
}
