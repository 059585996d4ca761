import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Columns, Row } from './artifact.js';
import { deriveTable } from './derive-table.js';
import { readThrift, writeThrift } from './parquet-footer.js';
import { readTable, writeTable } from './table-file.js';

vi.mock('node:os', async (load) => ({ ...(await load<typeof import('node:os')>()), availableParallelism: vi.fn() }));

const columns: Columns = { n: 'BIGINT', text: 'VARCHAR', few: 'VARCHAR', list: 'DOUBLE[]' };
const rows: readonly Row[] = Array.from({ length: 60_000 }, (_, n) => ({
  n: n - 30_000,
  text: n % 5 === 0 ? null : `row ${n} ü`.repeat(n % 4),
  few: `kind ${n % 7}`,
  list: [n / 3],
}));
const positions = Uint32Array.from(rows.keys()).filter((at) => at % 9 !== 0);

let folder: string;
let from: string;

beforeEach(async () => {
  vi.mocked(availableParallelism).mockReturnValue(2);
  folder = await temporaryFolder();
  from = join(folder, 'from.parquet');
  await writeTable(from, rows, { columns, scratchFolder: join(folder, 'spill') });
});

async function derive(name: string): Promise<string> {
  const file = join(folder, name);
  await deriveTable(file, { from, positions, columns, scratchFolder: join(folder, 'spill') });
  return file;
}

describe('a table that is made of parts', () => {
  it('has the same bytes however many of them are made at a time', async () => {
    const files: Buffer[] = [];
    for (const cores of [1, 2, 8]) {
      vi.mocked(availableParallelism).mockReturnValue(cores);
      files.push(await readFile(await derive(`${cores}.parquet`)));
    }
    expect(files[1]?.equals(files[0] as Buffer)).toBe(true);
    expect(files[2]?.equals(files[0] as Buffer)).toBe(true);
  });

  it('tells of all of its rows as they are written, part by part', async () => {
    const told: number[] = [];
    const options = { from, positions, columns, scratchFolder: join(folder, 'spill') };
    await deriveTable(join(folder, 'told.parquet'), { ...options, onRows: (count) => told.push(count) });
    expect(told.length).toBeGreaterThan(1);
    expect(told.reduce((sum, count) => sum + count)).toBe(positions.length);
  });

  it('has rows in their order, also where few of one chunk are taken and many of the next', async () => {
    const uneven = Uint32Array.from(rows.keys()).filter((at) => at % ((at >>> 11) % 2 === 0 ? 100 : 7) === 0);
    // DuckDB puts small chunks together, but not of lists.
    const { list: _, ...plain } = columns;
    const taken = [...uneven].map((at) => ({ ...rows[at], list: undefined }));
    const options = { from, positions: uneven, scratchFolder: join(folder, 'spill') };
    const collect = async (table: AsyncIterable<Row>) => {
      const read: Row[] = [];
      for await (const row of table) read.push(row);
      return read;
    };
    expect(await collect(readTable(from, plain, { positions: uneven }))).toEqual(taken);
    await deriveTable(join(folder, 'some.parquet'), { ...options, columns: plain });
    expect(await collect(readTable(join(folder, 'some.parquet'), plain))).toEqual(taken);
    const added = { columns: { more: 'BIGINT' }, rows: taken.map((_, more) => ({ more })) };
    const wider = { ...plain, more: 'BIGINT' };
    await deriveTable(join(folder, 'wider.parquet'), { ...options, added, columns: wider });
    const widened = await collect(readTable(join(folder, 'wider.parquet'), wider));
    expect(widened).toEqual(taken.map((row, more) => ({ ...row, more })));
  });

  it('has what is added to few of its rows, and what the others get', async () => {
    const few = { positions: positions.filter((at) => at % 1000 < 20), others: { kept: true, why: null } };
    const added = {
      columns: { kept: 'BOOLEAN', why: 'VARCHAR' },
      rows: (index: number) => ({ kept: false, why: `row ${few.positions[index]}` }),
      few,
    };
    const wanted = { n: 'BIGINT', ...added.columns };
    const expected = (at: number) => ({
      n: rows[at]?.n,
      ...(few.positions.includes(at) ? { kept: false, why: `row ${at}` } : few.others),
    });
    for (const [name, taken] of Object.entries({ all: Uint32Array.from(rows.keys()), some: positions })) {
      const file = join(folder, `${name}.parquet`);
      const given = name === 'all' ? {} : { positions };
      await deriveTable(file, { from, ...given, columns: wanted, added, scratchFolder: join(folder, 'spill') });
      const read: Row[] = [];
      for await (const row of readTable(file, wanted)) read.push(row);
      expect(read).toEqual([...taken].map(expected));
    }
  });

  it('is one table for whoever reads it', async () => {
    const file = await derive('derived.parquet');
    const read: Row[] = [];
    for await (const row of readTable(file, columns)) read.push(row);
    expect(read).toEqual([...positions].map((at) => rows[at]));
    const duckdb = await (await DuckDBInstance.create(':memory:')).connect();
    const rowsOf = async (query: string) => (await duckdb.runAndReadAll(query)).getRowsJson();
    expect(await rowsOf(`SELECT num_rows, num_row_groups FROM parquet_file_metadata('${file}')`)).toEqual([
      [String(positions.length), '8'],
    ]);
    // Statistics and filters of the row groups say where it can be.
    expect(await rowsOf(`SELECT text FROM '${file}' WHERE n = 29_999`)).toEqual([[rows[59_999]?.text]]);
    expect(await rowsOf(`SELECT count(*) FROM '${file}' WHERE few = 'kind 3'`)).toEqual([
      [String([...positions].filter((at) => at % 7 === 3).length)],
    ]);
    duckdb.closeSync();
  });

  it('has a footer that is written as it was read', async () => {
    const bytes = await readFile(from);
    const size = bytes.readUInt32LE(bytes.length - 8);
    const footer = bytes.subarray(bytes.length - 8 - size, bytes.length - 8);
    expect(Buffer.from(writeThrift(readThrift(footer))).equals(footer)).toBe(true);
    expect(() => readThrift(footer.subarray(0, size - 5))).toThrow('cut');
  });
});
