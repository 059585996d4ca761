import { stat } from 'node:fs/promises';

/** Rows that cannot be trained on; the message says why. */
export class DataInvalidError extends Error {}

export interface TrainingRow {
  readonly prompt: string;
  readonly completion: string;
}

/** What a fake trainer wants to know of a Parquet file of training rows. */
export interface TrainingRows {
  readonly count: number;
  /** Words, which are the fake trainer's tokens. */
  readonly tokens: number;
  readonly trainedTokens: number;
  /** Rows at these positions, from 0. */
  at(positions: readonly number[]): Promise<readonly TrainingRow[]>;
}

/** What was read before, by path and time of change: a job is started many times. */
const known = new Map<string, Promise<TrainingRows>>();

/** @throws DataInvalidError */
export async function readTrainingRows(file: string): Promise<TrainingRows> {
  const { mtimeMs } = await stat(file).catch(() => {
    throw new DataInvalidError(`${file} is not there`);
  });
  const key = `${file} ${mtimeMs}`;
  const rows = known.get(key) ?? queryRows(file);
  known.set(key, rows);
  return rows;
}

async function queryRows(file: string): Promise<TrainingRows> {
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const { parquet } = await import('../../artifacts/duckdb-tables.js');
  const table = parquet(file, true);
  const query = async (sql: string) => {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    const connection = await instance.connect();
    try {
      return (await connection.runAndReadAll(sql)).getRowObjectsJson();
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  };
  const words = (column: string) => `len(string_split_regex(${column}::VARCHAR, '\\s+'))`;
  try {
    const [totals] = await query(
      `SELECT count(*)::INTEGER AS rows, coalesce(sum(${words('prompt')}), 0)::INTEGER AS prompts,
              coalesce(sum(${words('completion')}), 0)::INTEGER AS completions FROM ${table}`,
    );
    const count = Number(totals?.rows);
    if (count === 0) throw new DataInvalidError(`${file} has no rows`);
    return {
      count,
      tokens: Number(totals?.prompts) + Number(totals?.completions),
      trainedTokens: Number(totals?.completions),
      async at(positions) {
        const rows = await query(
          `SELECT prompt::VARCHAR AS prompt, completion::VARCHAR AS completion, file_row_number AS position FROM ${table}
           WHERE file_row_number IN (${positions.join(', ')})`,
        );
        const byPosition = new Map(rows.map((row) => [Number(row.position), row]));
        return positions.map((position) => {
          const row = byPosition.get(position);
          if (row === undefined) throw new DataInvalidError(`${file} has no row ${position}`);
          return { prompt: String(row.prompt), completion: String(row.completion) };
        });
      },
    };
  } catch (cause) {
    if (cause instanceof DataInvalidError) throw cause;
    throw new DataInvalidError(`${file} cannot be trained on: ${(cause as Error).message}`, { cause });
  }
}
