import { expect, it } from 'vitest';
import { ArtifactStore } from '../../core/artifacts/artifact-store.js';
import type { Row } from '../../core/index.js';
import { silentLog } from '../../core/plugin/log.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { sieve } from './sieve.js';

it.each([
  ['VARCHAR', ['a', '\uFEFFb', 'c'], ['a', '\uFEFFb', 'c']],
  ['INTEGER', [1, 2, 3], ['1', '2', '3']],
  ['DOUBLE', [1, 2.5, 1e21], ['1', '2.5', '1e+21']],
])('decisions on rows with ids of %s have them as text, as every stage has', async (type, ids, texts) => {
  const store = await ArtifactStore.open(await temporaryFolder());
  await using artifacts = store.writer();
  const dataset = await artifacts.writeDataset(
    ids.map((id) => ({ id })),
    { columns: { id: type } },
  );
  const { signal } = new AbortController();
  const context = { stage: 's', signal, log: silentLog, emit: async () => {}, artifacts };
  const { decisions } = await sieve(context, dataset, (at) => (at === 1 ? { rule: 'broken' } : undefined));
  const rows: Row[] = [];
  for await (const row of decisions.rows()) rows.push(row);
  expect(rows).toEqual(
    texts.map((id, at) => ({ id, kept: at !== 1, rule: at === 1 ? 'broken' : null, evidence: null })),
  );
});
