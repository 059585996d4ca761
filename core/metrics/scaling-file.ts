import { parse as parseCsv } from 'csv-parse/sync';
import { z } from 'zod';
import { readDataFile } from '../document/data-file.js';
import { type DataDocument, invalidFile, parseDocument } from '../document/document.js';
import { ProblemList } from '../document/problem-list.js';
import { checkWithSchema } from '../document/schema-problems.js';
import { type Problem, UserError } from '../errors.js';
import type { ScalingRun } from './scaling.js';

const what = 'table';

const run = z.strictObject({
  thinkingTokens: z.number().positive().describe('Mean thinking tokens of the run.'),
  accuracy: z
    .number()
    .min(0)
    .max(100)
    .describe('In percent, 0 to 100, or in every run of the file as a share, 0 to 1.'),
  controlled: z
    .number()
    .nullish()
    .describe('What is held against the limits where it is not the thinking tokens, e.g. steps.'),
  min: z.number().nullish().describe('Lower limit that was asked for.'),
  max: z.number().nullish().describe('Upper limit that was asked for.'),
});
const runs = z.array(run).min(1);

interface ScalingFile {
  readonly runs: readonly ScalingRun[];
  /** How the accuracies of the file were read: as shares where none is above 1. */
  readonly accuracyUnit: 'percent' | 'share';
}

/**
 * Reads a list of {thinkingTokens, accuracy, controlled?, min?, max?}: JSON, or CSV with these columns.
 *
 * @throws UserError `file_missing` and its like, or `invalid_table` with everything that is wrong with it
 */
export async function readScalingFile(file: string): Promise<ScalingFile> {
  const text = await readDataFile(file, what);
  const document = file.endsWith('.csv') ? csvDocument(file, text) : parseDocument(file, text, what);
  const problems = new ProblemList(document);
  const list = checkWithSchema({ schema: runs, value: document.value, path: [], problems });
  if (list === undefined || !problems.isEmpty) throw invalidFile(file, what, problems.sorted());
  const isShare = list.every(({ accuracy }) => accuracy <= 1);
  return {
    accuracyUnit: isShare ? 'share' : 'percent',
    runs: list.map(({ thinkingTokens, accuracy, controlled, min, max }) => ({
      meanTokens: thinkingTokens,
      accuracy: isShare ? accuracy : accuracy / 100,
      ...(typeof controlled === 'number' ? { controlled } : {}),
      ...(typeof min === 'number' ? { minimum: min } : {}),
      ...(typeof max === 'number' ? { maximum: max } : {}),
    })),
  };
}

/** The rows of a CSV file as maps; empty cells are left out, numbers are numbers. */
function csvDocument(file: string, text: string): DataDocument {
  const rows = csvRows(file, text);
  return {
    file,
    text,
    value: rows.map(({ record }) =>
      Object.fromEntries(
        Object.entries(record)
          .filter(([, cell]) => cell.trim() !== '')
          .map(([key, cell]) => [key, Number.isNaN(Number(cell)) ? cell : Number(cell)]),
      ),
    ),
    problems: [],
    positionOf: ([row]) => ({ file, line: typeof row === 'number' ? (rows[row]?.info.lines ?? 1) : 1, column: 1 }),
  };
}

type CsvRow = { readonly record: Readonly<Record<string, string>>; readonly info: { readonly lines: number } };

function csvRows(file: string, text: string): readonly CsvRow[] {
  try {
    return parseCsv(text, { columns: true, bom: true, info: true, trim: true, skip_empty_lines: true }) as CsvRow[];
  } catch (error) {
    const { message, lines } = error as Error & { readonly lines?: number };
    const problem: Problem = { code: 'syntax_error', message, position: { file, line: lines ?? 1, column: 1 } };
    throw new UserError('invalid_csv', `${file} is not CSV: ${message}.`, {
      hint: 'The first line names the columns: thinkingTokens,accuracy,controlled,min,max.',
      problems: [problem],
    });
  }
}
