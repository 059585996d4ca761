import { stat } from 'node:fs/promises';

/** Rows that cannot be trained on; the message says why. */
export class DataInvalidError extends Error {}

interface TrainingRow {
  readonly prompt: string;
  readonly completion: string;
}

/** What a fake trainer wants to know of a Parquet file of training rows. */
export interface TrainingRows {
  readonly count: number;
  /** Words, which are the fake trainer's tokens, after cutting. */
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly truncated: number;
  /** Whether prompts are lists of messages, not strings. */
  readonly hasMessages: boolean;
  /** Rows at these positions, from 0. */
  at(positions: readonly number[]): Promise<readonly TrainingRow[]>;
}

/** What was read before, by path and time of change: a job is started many times. */
const known = new Map<string, Promise<TrainingRows>>();

/** What a trainer may get wrong of rows whose completions are messages. */
export const messageFaults = ['leavesOutCalls', 'trainsResults', 'leavesOutTools', 'ignoresWeights'] as const;

type MessageFault = (typeof messageFaults)[number];

/** @param limit the longest row in tokens; 0: none is cut @throws DataInvalidError */
export async function readTrainingRows(file: string, limit = 0, fault?: MessageFault): Promise<TrainingRows> {
  const { mtimeMs } = await stat(file).catch(() => {
    throw new DataInvalidError(`${file} is not there`);
  });
  const key = `${file} ${mtimeMs} ${limit} ${fault}`;
  const rows = known.get(key) ?? queryRows(file, limit, fault);
  known.set(key, rows);
  return rows;
}

async function queryRows(file: string, limit: number, fault: MessageFault | undefined): Promise<TrainingRows> {
  const { connectToRead, forgetReader, parquet } = await import('../../artifacts/duckdb-tables.js');
  const table = parquet(file, true);
  const query = async (sql: string) => {
    const connection = await connectToRead();
    try {
      return (await connection.runAndReadAll(sql)).getRowObjectsJson();
    } finally {
      connection.closeSync();
    }
  };
  const words = (column: string) => `len(string_split_regex(${column}::VARCHAR, '\\s+'))`;
  try {
    const columns = await query(`DESCRIBE SELECT * FROM ${table}`);
    const typeOf = (name: string) => String(columns.find(({ column_name }) => column_name === name)?.column_type ?? '');
    const hasCalls = typeOf('completion').includes('tool_calls');
    const said = words(hasCalls && fault === 'leavesOutCalls' ? '[each.content for each in completion]' : 'completion');
    const seen = [
      ...(hasCalls && fault !== 'trainsResults' ? [`each.role = 'tool'`] : []),
      ...(typeOf('completion').includes('weight') && fault !== 'ignoresWeights' ? ['each.weight = 0'] : []),
    ];
    const onlySeen = seen.length === 0 ? '0' : words(`[each.content for each in completion if ${seen.join(' OR ')}]`);
    const tools = typeOf('tools') === '' || fault === 'leavesOutTools' ? '0' : `coalesce(${words('tools')}, 0)`;
    const [totals] = await query(
      `SELECT count(*)::INTEGER AS rows, coalesce(sum(least(whole, longest)), 0)::INTEGER AS tokens,
              coalesce(sum(least(asked, longest)), 0)::INTEGER AS prompts,
              count_if(whole > longest)::INTEGER AS truncated
       FROM (SELECT ${words('prompt')} + ${tools} AS before, before + ${onlySeen} AS asked, before + ${said} AS whole,
                    ${limit || Number.MAX_SAFE_INTEGER} AS longest FROM ${table})`,
    );
    const count = Number(totals?.rows);
    if (count === 0) throw new DataInvalidError(`${file} has no rows`);
    return {
      count,
      tokens: Number(totals?.tokens),
      trainedTokens: Number(totals?.tokens) - Number(totals?.prompts),
      truncated: Number(totals?.truncated),
      hasMessages: typeOf('prompt') !== 'VARCHAR',
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
    forgetReader();
    throw new DataInvalidError(`${file} cannot be trained on: ${(cause as Error).message}`, { cause });
  }
}
