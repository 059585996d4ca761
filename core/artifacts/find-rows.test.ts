import { DuckDBResultReader } from '@duckdb/node-api';
import { expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { TableArtifact } from './artifact.js';
import { ArtifactStore } from './artifact-store.js';
import { RowFinder } from './find-rows.js';

it('finds ids by their beginnings, and those that are like a text, without reading all of them', async () => {
  const store = await ArtifactStore.open(await temporaryFolder());
  await using writer = store.writer();
  const tableOf = async (ids: readonly (string | null)[]) =>
    (await store.open(
      (
        await writer.writeDataset(
          ids.map((id) => ({ id })),
          { columns: { id: 'VARCHAR' } },
        )
      ).uri,
    )) as TableArtifact;
  const ids = Array.from({ length: 3000 }, (_, index) => `row-${String(index).padStart(4, '0')}`);
  const tables = [await tableOf(ids), await tableOf([...ids.slice(1000), null, 'other']), await tableOf([])];
  using finder = await RowFinder.open();
  const read = vi.spyOn(DuckDBResultReader.prototype, 'getRowObjectsJS');
  expect(await finder.idsBeginning(tables, 'row-2', 3)).toEqual({ ids: ids.slice(2000, 2003), total: 1000 });
  expect(await finder.idsBeginning(tables, 'row_', 3)).toEqual({ ids: [], total: 0 });
  expect(await finder.idsLike(tables, 'Row-1243x', 1)).toEqual(['row-1243']);
  expect(await finder.idsLike(tables, 'row-1243 and many words more', 1)).toEqual([]);
  expect(await finder.countIds(tables)).toBe(3001);
  expect(await finder.countIds([])).toBe(0);
  expect(read.mock.results.map(({ value }) => value.length)).toEqual([3, 0, 1, 0, 1]);
  read.mockRestore();
});
