import { writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { damaged } from '../artifacts/damaged.js';
import { stageError, stageErrorRecord } from '../engine/stage-error.js';
import { isUserError, UserError } from '../errors.js';
import { systemError } from './system-error.js';

function refused(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: what the system says, open '${path}'`), { code, path });
}

const planned = { name: 'unique', uses: 'curation/deduplicate' } as Parameters<typeof stageError>[0];
const where = { home: '/home/of/runs', plugins: { curation: { source: 'built-in' } } } as unknown as Parameters<
  typeof stageError
>[2];

it.each([
  [refused('EMFILE', '/a'), 'too_many_open_files', 'ulimit -n'],
  [
    new Error('IO Error: Cannot open file "/a": Too many open files\n\nLINE 1: SELECT'),
    'too_many_open_files',
    'ulimit',
  ],
  [refused('EACCES', '/a'), 'not_permitted', '--home'],
  [new Error('IO Error: Cannot open file "/a": Permission denied'), 'not_permitted', 'ls -l'],
  [refused('ENOSPC', '/a'), 'no_disk_space', 'Free some space'],
  [refused('EFBIG', '/a'), 'file_too_large', 'ulimit -f'],
  [new Error('IO Error: Could not write file "/a": File too large'), 'file_too_large', 'ulimit -f'],
  [
    Object.assign(
      new Error("Cannot find module '@duckdb/node-bindings-linux-x64/duckdb.node'\nRequire stack:\n- a.js"),
      {
        code: 'MODULE_NOT_FOUND',
      },
    ),
    'duckdb_not_loaded',
    '--include=optional',
  ],
  [
    Object.assign(new Error('/a/@duckdb/node-bindings-linux-x64/duckdb.node: invalid ELF header'), {
      code: 'ERR_DLOPEN_FAILED',
    }),
    'duckdb_not_loaded',
    'on this machine',
  ],
])('what the system refuses is no bug: %s', (error, code, hint) => {
  expect(systemError(error)).toMatchObject({ code, kind: 'environment', hint: expect.stringContaining(hint) });
});

it('leaves every other error as it is', () => {
  for (const error of [new TypeError('x is not a function'), new UserError('a', 'EMFILE'), refused('ENOENT'), 'text']) {
    expect(systemError(error)).toBe(error);
  }
});

it('of a stage, a DuckDB that cannot be loaded is no bug of its plugin', () => {
  const missing = new Error("Cannot find module '@duckdb/node-bindings-linux-x64/duckdb.node'\nRequire stack:\n- a.js");
  expect(stageErrorRecord(stageError(planned, missing, where))).toEqual({
    code: 'duckdb_not_loaded',
    kind: 'environment',
    message: expect.stringMatching(
      /^Stage "unique" \(curation\/deduplicate\): DuckDB, which reads and writes tables, .*duckdb\.node'\.$/,
    ),
    hint: expect.stringContaining('npm install --include=optional'),
  });
});

it('tells nobody to remove a table that could not be opened for want of open files', () => {
  const error = new Error('IO Error: Cannot open file "/a/data.parquet": Too many open files\n\nLINE 1: SELECT');
  expect(damaged('/a/data.parquet', error)).toMatchObject({
    code: 'too_many_open_files',
    message: expect.stringMatching(/files\.$/),
  });
  expect(damaged('/a/data.parquet', new Error('No magic bytes found'))).toMatchObject({ code: 'artifact_damaged' });
});

it('blames the machine for what a stage lacks of it, and the stage for a file of its own', () => {
  expect(stageError(planned, refused('EMFILE', '/elsewhere'), where)).toMatchObject({
    code: 'too_many_open_files',
    kind: 'environment',
    message: expect.stringContaining('Stage "unique" (curation/deduplicate)'),
  });
  expect(stageError(planned, refused('EACCES', '/home/of/runs/staging/x'), where)).toMatchObject({
    code: 'not_permitted',
    kind: 'environment',
  });
  expect(stageError(planned, refused('EACCES', '/elsewhere'), where)).toMatchObject({ code: 'stage_failed' });
  expect(stageError(planned, undefined, where)).toMatchObject({ code: 'stage_failed' });
  expect(stageErrorRecord(systemError(refused('EACCES', '/home/of/runs/cache/x')) as UserError)).not.toHaveProperty(
    'stack',
  );
});

it('knows what Node says of a folder in the place of a file as no fault of the machine', async () => {
  const folder = await temporaryFolder();
  const thrown: unknown = await writeFile(folder, '').catch((error: unknown) => error);
  expect(isUserError(systemError(thrown))).toBe(false);
});
