import { createHash } from 'node:crypto';
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Columns, DerivedRows, Row } from './artifact.js';
import { ArtifactStore } from './artifact-store.js';
import { parseColumnType, sqlType } from './column-type.js';
import { deriveTable } from './derive-table.js';
import { readForeignTable, readTable, writeTable } from './table-file.js';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

let written = 0;

async function write(rows: Iterable<Row> | AsyncIterable<Row>, columns: Columns): Promise<string> {
  written += 1;
  const file = join(folder, `${written}.parquet`);
  await writeTable(file, rows, { columns, scratchFolder: join(folder, 'spill') });
  return file;
}

async function roundTrip(rows: readonly Row[], columns: Columns): Promise<readonly Row[]> {
  return collect(readTable(await write(rows, columns), columns));
}

const columns: Columns = {
  id: 'VARCHAR',
  prompt: 'STRUCT("role" VARCHAR, content VARCHAR)[]',
  tokens: 'BIGINT',
  score: 'DOUBLE',
  isGold: 'BOOLEAN',
  ids: 'INTEGER[]',
};

const rows: readonly Row[] = [
  {
    id: 'a',
    prompt: [
      { role: 'user', content: "What is 2 + 2? \u0000 'quoted' \n 🜁" },
      { role: 'assistant', content: null },
    ],
    tokens: Number.MAX_SAFE_INTEGER,
    score: 0.1,
    isGold: true,
    ids: [1, -2, 2 ** 31 - 1],
  },
  { id: '', prompt: [], tokens: 0, score: -1e300, isGold: false, ids: [] },
  { id: null, prompt: null, tokens: null, score: null, isGold: null, ids: null },
];

describe('a table', () => {
  it('of more columns of text than the memory of its writing holds says so, and what to do', async () => {
    const names = Array.from({ length: 4000 }, (_, index) => `c${index}`);
    // Text of this length takes a block of its own in each column.
    const row = Object.fromEntries(names.map((name) => [name, 'x'.repeat(5000)]));
    const wide = Object.fromEntries(names.map((name) => [name, 'VARCHAR']));
    await expect(write([row, row], wide)).rejects.toMatchObject({
      code: 'table_beyond_memory',
      kind: 'runFailed',
      message: expect.stringContaining('MiB used'),
      hint: expect.stringContaining('fewer columns'),
    });
  }, 60_000);

  it('gives back texts that begin with a byte order mark as they were', async () => {
    const marked = [{ id: '\ufeff', prompt: [{ role: 'user', content: '\ufeff\ufeffWhat?' }] }];
    expect(await roundTrip(marked, { id: 'VARCHAR', prompt: 'STRUCT("role" VARCHAR, content VARCHAR)[]' })).toEqual(
      marked,
    );
  });

  it('gives back the rows that were written, in their order', async () => {
    expect(await roundTrip(rows, columns)).toEqual(rows);
  });

  it('may have no rows', async () => {
    expect(await roundTrip([], columns)).toEqual([]);
  });

  it('reads what a row leaves out as null', async () => {
    expect(await roundTrip([{ a: 1 }, {}], { a: 'INTEGER', b: 'VARCHAR' })).toEqual([
      { a: 1, b: null },
      { a: null, b: null },
    ]);
  });

  it('keeps the order over many chunks and row groups', async () => {
    const many = Array.from({ length: 20_000 }, (_, n) => ({ n, text: `row ${n}`.repeat(n % 7) }));
    expect(await roundTrip(many, { n: 'INTEGER', text: 'VARCHAR' })).toEqual(many);
  });

  it('has the same bytes for the same rows, however they arrive', async () => {
    const many = Array.from({ length: 9_000 }, (_, n) => ({ ...rows[n % 3], tokens: n }));
    async function* slowly(): AsyncIterable<Row> {
      for (const [index, row] of many.entries()) {
        if (index % 1000 === 0) await new Promise(setImmediate);
        // The order of a row's keys is not the table's.
        yield Object.fromEntries(Object.entries(row).reverse());
      }
    }
    const digests = [];
    for (const source of [many, slowly(), many.values()]) digests.push(await digest(await write(source, columns)));
    expect(new Set(digests).size).toBe(1);
    const [first, second, ...others] = many;
    expect(await digest(await write([second!, first!, ...others], columns))).not.toBe(digests[0]);
  });

  it('gives back any JSON that fits its columns', async () => {
    const text = fc.option(fc.string({ unit: 'grapheme' }));
    const row = fc.record({
      text,
      integer: fc.option(fc.maxSafeInteger()),
      number: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)),
      nested: fc.option(fc.array(fc.record({ kind: text, ids: fc.option(fc.array(fc.nat())) }))),
    });
    const types = {
      text: 'VARCHAR',
      integer: 'BIGINT',
      number: 'DOUBLE',
      nested: 'STRUCT(kind VARCHAR, ids BIGINT[])[]',
    };
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (some) => {
        const plain = JSON.parse(JSON.stringify(some)) as Row[];
        expect(JSON.parse(JSON.stringify(await roundTrip(plain, types)))).toEqual(plain);
      }),
      { numRuns: 30 },
    );
  });

  it('can be read by two readers at once, and left in the middle', async () => {
    const many = Array.from({ length: 5_000 }, (_, n) => ({ n }));
    const file = await write(many, { n: 'INTEGER' });
    const read = async (limit: number) => {
      let sum = 0;
      for await (const row of readTable(file, { n: 'INTEGER' })) {
        sum += row.n as number;
        if (row.n === limit) break;
      }
      return sum;
    };
    expect(await Promise.all([read(10), read(-1)])).toEqual([55, (4_999 * 5_000) / 2]);
  });

  it('removes its spill folder and reads a path with a quote', async () => {
    const file = join(folder, "it's.parquet");
    await writeTable(file, [{ a: 1 }], { columns: { a: 'INTEGER' }, scratchFolder: join(folder, 'spill') });
    await expect(stat(join(folder, 'spill'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await collect(readTable(file, { a: 'INTEGER' }))).toEqual([{ a: 1 }]);
  });

  it.each(['a=other', 'a[1]', 'a*', 'a?'])('is read as it is in a folder that is called %s', async (name) => {
    const [inside, beside] = [join(folder, name), join(folder, name.replace(/\W+$|\[1]/, '1'))];
    const read: Row[] = [];
    for (const [at, place] of [beside, inside].entries()) {
      await mkdir(place, { recursive: true });
      const [from, file] = [join(place, 'from.parquet'), join(place, 'derived.parquet')];
      const kept = { columns: { a: 'VARCHAR' }, scratchFolder: join(place, 'spill') };
      await writeTable(from, [{ a: `row of ${at}` }, { a: 'dropped' }], kept);
      await deriveTable(file, { from, positions: Uint32Array.of(0), ...kept });
      read.push(...(await collect(readTable(file, kept.columns))));
    }
    expect(read).toEqual([{ a: 'row of 0' }, { a: 'row of 1' }]);
  });

  it('that is not Parquet is artifact_damaged', async () => {
    const file = join(folder, 'bad.parquet');
    await writeFile(file, 'not parquet at all, but long enough to have a footer');
    await expect(collect(readTable(file, { a: 'INTEGER' }))).rejects.toMatchObject({
      code: 'artifact_damaged',
      message: expect.stringContaining(file),
    });
  });
});

describe('a table that fails far behind its first rows', () => {
  const texts = Array.from({ length: 200_000 }, (_, n) => ({ a: n === 150_000 ? 'none' : `${n}` }));

  it('is artifact_damaged, however much of it is read, and ends with no rows less', async () => {
    const file = await write(texts, { a: 'VARCHAR' });
    const damage = await open(file, 'r+');
    const { size } = await damage.stat();
    await damage.write(Buffer.alloc(Math.floor(size / 10)), 0, null, Math.floor(size * 0.7));
    await damage.close();
    const positions = Uint32Array.from(texts.keys()).filter((at) => at % 3 === 0);
    for (const reading of [{}, { positions: { first: 10, end: 190_000 } }, { positions }]) {
      await expect(collect(readTable(file, { a: 'VARCHAR' }, reading))).rejects.toMatchObject({
        code: 'artifact_damaged',
        message: expect.stringContaining(file),
      });
    }
    const sound = { positions: { first: 0, end: 10_000 } };
    expect(await collect(readTable(file, { a: 'VARCHAR' }, sound))).toEqual(texts.slice(0, 10_000));
  });

  it('of whole numbers takes none of somebody else that is not whole, nor rounds it', async () => {
    const half = { a: 2.5, b: '2.5', c: [1, 2.5], d: [{ e: 2.5 }] };
    const whole = { a: 2, b: '02', c: [1, null], d: [{ e: -3 }] };
    const written: Columns = { a: 'DOUBLE', b: 'VARCHAR', c: 'DOUBLE[]', d: 'STRUCT(e DOUBLE)[]' };
    const asked: Columns = { a: 'BIGINT', b: 'INTEGER', c: 'BIGINT[]', d: 'STRUCT(e SMALLINT)[]' };
    const empty = { a: null, b: null, c: null, d: null };
    const read = [{ a: 2, b: 2, c: [1, null], d: [{ e: -3 }] }, empty];
    expect(await collect(readForeignTable(await write([whole, empty], written), asked))).toEqual(read);
    const file = await write([whole, half], written);
    for (const [name, type] of Object.entries(asked))
      await expect(collect(readForeignTable(file, { [name]: type }))).rejects.toMatchObject({
        code: 'invalid_table_file',
        message: expect.stringContaining(`The column "${name}" is `),
      });
  });

  it('is invalid_table_file where somebody else wrote it', async () => {
    const file = await write(texts, { a: 'VARCHAR' });
    await expect(collect(readForeignTable(file, { a: 'BIGINT' }))).rejects.toMatchObject({
      code: 'invalid_table_file',
      message: expect.stringContaining("Could not convert string 'none' to INT64"),
    });
  });
});

describe('a derived table', () => {
  const types: Columns = { n: 'INTEGER', text: 'VARCHAR', list: 'BIGINT[]' };
  const many = Array.from({ length: 30_000 }, (_, n) => ({ n, text: n % 5 === 0 ? null : `row ${n}`, list: [n, 1] }));

  async function derive(from: string, derived: DerivedRows): Promise<string> {
    written += 1;
    const file = join(folder, `${written}.parquet`);
    const columns = { ...types, ...derived.added?.columns };
    await deriveTable(file, { ...derived, from, columns, scratchFolder: join(folder, 'spill') });
    return file;
  }

  it('has the rows at some positions, in their order', async () => {
    const from = await write(many, types);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(many.length - 1), { maxLength: 20_000, size: 'max' }), async (places) => {
        const positions = Uint32Array.from(places).sort();
        const file = await derive(from, { positions });
        expect(await collect(readTable(file, types))).toEqual([...positions].map((at) => many[at]));
      }),
      { numRuns: 5 },
    );
  });

  it('has columns added to all rows or to some, and new values for columns that were there', async () => {
    const from = await write(many, types);
    const added = {
      columns: { tokens: 'BIGINT', text: 'DOUBLE' },
      rows: many.map(({ n }) => ({ tokens: n * 2, text: n / 2 })),
    };
    const all = await derive(from, { added });
    const columns = { ...types, ...added.columns };
    expect(await collect(readTable(all, columns))).toEqual(many.map((row, at) => ({ ...row, ...added.rows[at] })));
    const some = await derive(from, {
      positions: Uint32Array.of(3, 29_999),
      added: { ...added, rows: added.rows.slice(0, 2) },
    });
    expect(await collect(readTable(some, columns))).toEqual([
      { ...many[3], ...added.rows[0] },
      { ...many[29_999], ...added.rows[1] },
    ]);
  });

  it('has the same bytes each time, and none of its rows is a table too', async () => {
    const from = await write(many, types);
    const positions = Uint32Array.from(many.keys()).filter((at) => at % 7 !== 0);
    expect(await digest(await derive(from, { positions }))).toBe(await digest(await derive(from, { positions })));
    const none = await derive(from, { positions: new Uint32Array() });
    expect(await collect(readTable(none, types))).toEqual([]);
    const added = { columns: { tokens: 'BIGINT' }, rows: [] };
    expect(await collect(readTable(await derive(none, { added }), { ...types, ...added.columns }))).toEqual([]);
  });

  it('of what is not Parquet is artifact_damaged', async () => {
    const from = join(folder, 'bad.parquet');
    await writeFile(from, 'not parquet at all, but long enough to have a footer');
    await expect(derive(from, { positions: Uint32Array.of(0) })).rejects.toMatchObject({ code: 'artifact_damaged' });
  });
});

describe('a row that does not fit', () => {
  it.each([
    [
      'text for an integer',
      { n: 'seven' },
      { n: 'INTEGER' },
      'Row 2',
      '"n"',
      'an integer (INTEGER)',
      'the text "seven"',
    ],
    ['a fraction', { n: 1.5 }, { n: 'BIGINT' }, '"n"', '1.5'],
    ['an integer out of bounds', { n: 2 ** 31 }, { n: 'INTEGER' }, '2147483648'],
    ['a number that JSON has not', { n: Number.NaN }, { n: 'DOUBLE' }, 'a finite number', 'NaN'],
    ['a number for text', { n: 3 }, { n: 'VARCHAR' }, 'text is expected and 3 was found'],
    ['half a character', { n: 'a\ud800' }, { n: 'VARCHAR' }, 'lone surrogate'],
    ['nothing for a row', undefined as never, { n: 'INTEGER' }, 'Row 2 does not fit the table: it is undefined'],
    ['text for a row', 'seven' as never, { n: 'INTEGER' }, 'it is the text "seven", where an object with the columns'],
    ['an unknown column', { n: 1, m: 2 }, { n: 'INTEGER' }, '"m"', 'declared columns n'],
    ['an item of a list', { n: [1, 'x'] }, { n: 'INTEGER[]' }, '"n[1]"'],
    ['a field of a struct', { n: [{ a: true }] }, { n: 'STRUCT(a VARCHAR)[]' }, '"n[0].a"', 'true was found'],
    ['an unknown field', { n: { b: 1 } }, { n: 'STRUCT(a VARCHAR)' }, '"n.b"', 'declared fields a'],
  ])('%s', async (_name, row, types, ...words) => {
    const file = join(folder, 'refused.parquet');
    const writing = writeTable(file, [{}, row], { columns: types as Columns, scratchFolder: join(folder, 'spill') });
    const error: Error = await writing.then(
      () => expect.unreachable(),
      (error) => error,
    );
    expect(error).toMatchObject({ code: 'row_does_not_fit', kind: 'runFailed' });
    for (const word of words) expect(error.message).toContain(word);
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('columns', () => {
  it.each([
    'DECIMAL(3,1)',
    'VARCHAR; DROP TABLE rows',
    'STRUCT(a VARCHAR',
    'STRUCT()',
    'INTEGER[3]',
    '',
    'STRUCT(a-b VARCHAR)',
  ])('refuse the type %j', (type) => {
    expect(() => parseColumnType('c', type)).toThrowError(/The column "c" has the unknown type/);
  });

  it('are written as DuckDB wants them, in any case and spacing', () => {
    expect(sqlType(parseColumnType('c', 'struct( role  varchar,"a ""b""" integer [])[][]'))).toBe(
      'STRUCT("role" VARCHAR, "a ""b""" INTEGER[])[][]',
    );
  });

  it('are refused where none are, two differ by case only, or one has a name of DuckDB', async () => {
    await expect(write([], { File_Row_Number: 'BIGINT' })).rejects.toMatchObject({
      code: 'invalid_columns',
      message: expect.stringContaining('file_row_number'),
    });
    await expect(write([], {})).rejects.toMatchObject({ code: 'invalid_columns' });
    await expect(write([], { id: 'VARCHAR', ID: 'VARCHAR' })).rejects.toMatchObject({ code: 'invalid_columns' });
  });
});

describe('a table artifact', () => {
  it('is one for the same rows, says its columns and rows, and may be read twice', async () => {
    const store = await ArtifactStore.open(join(folder, 'home'));
    await using writer = store.writer();
    const options = { columns, metadata: { source: 'test' } };
    const dataset = await writer.writeDataset(rows, options);
    expect((await writer.writeDataset(rows, options)).uri).toBe(dataset.uri);
    expect((await writer.writeGenerations(rows, options)).uri).not.toBe(dataset.uri);
    const found = await store.open(dataset.uri);
    expect(found).toMatchObject({ rowCount: 3, columns, metadata: { source: 'test', rowCount: 3, columns } });
    if (!('rows' in found)) return expect.unreachable();
    expect(Object.keys(found.columns)).toEqual(Object.keys(columns));
    expect(await collect(found.rows())).toEqual(rows);
    expect(await collect(found.rows())).toEqual(rows);
    await store.verify(dataset.uri);
  });
});

async function digest(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
