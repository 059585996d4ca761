import { expect, it, onTestFinished, vi } from 'vitest';
import { ArtifactStore } from '../../core/artifacts/artifact-store.js';
import type { EventDraft, Row } from '../../core/index.js';
import { silentLog } from '../../core/plugin/log.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { sieve } from './sieve.js';

/** What a stage has, and a dataset of its store with these ids. */
async function given(type: string, ids: readonly unknown[], signal = new AbortController().signal) {
  const store = await ArtifactStore.open(await temporaryFolder());
  const artifacts = store.writer();
  const dataset = await artifacts.writeDataset(
    ids.map((id) => ({ id })),
    { columns: { id: type } },
  );
  return { dataset, context: { stage: 's', signal, log: silentLog, emit: async () => {}, artifacts } };
}

it.each([
  ['VARCHAR', ['a', '\uFEFFb', 'c'], ['a', '\uFEFFb', 'c']],
  ['INTEGER', [1, 2, 3], ['1', '2', '3']],
  ['DOUBLE', [1, 2.5, 1e21], ['1', '2.5', '1e+21']],
])('decisions on rows with ids of %s have them as text, as every stage has', async (type, ids, texts) => {
  const { dataset, context } = await given(type, ids);
  await using _artifacts = context.artifacts;
  const { decisions } = await sieve(context, dataset, (at) => (at === 1 ? { rule: 'broken' } : undefined));
  const rows: Row[] = [];
  for await (const row of decisions.rows()) rows.push(row);
  expect(rows).toEqual(
    texts.map((id, at) => ({ id, kept: at !== 1, rule: at === 1 ? 'broken' : null, evidence: null })),
  );
});

it('a stage that is stopped goes through no more rows with ids that are numbers', async () => {
  const stop = new AbortController();
  const { dataset, context } = await given('INTEGER', [1, 2, 3], stop.signal);
  await using _artifacts = context.artifacts;
  let read = 0;
  const watched = {
    ...dataset,
    async *rows(...asked: Parameters<typeof dataset.rows>) {
      for await (const row of dataset.rows(...asked)) {
        read++;
        yield row;
      }
    },
  };
  stop.abort(new Error('stopped'));
  await expect(sieve(context, watched, () => undefined)).rejects.toThrow('stopped');
  expect(read).toBeLessThan(2);
});

it('tells how far the writing of the rows is that are kept', async () => {
  const { dataset, context } = await given('VARCHAR', ['a', 'b', 'c', 'd']);
  await using _artifacts = context.artifacts;
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const told: unknown[] = [];
  const emit = async ({ type, data }: EventDraft) => void (type === 'stage.progressed' && told.push(data));
  const { artifacts } = context;
  const derive = artifacts.deriveDataset.bind(artifacts);
  vi.spyOn(artifacts, 'deriveDataset').mockImplementation((table, derived) => {
    // It takes its time.
    now += 60_000;
    return derive(table, derived);
  });
  await sieve({ ...context, emit }, dataset, (at) => (at === 1 ? { rule: 'broken' } : undefined));
  await vi.waitFor(() => expect(told).toMatchObject([{ done: 3, total: 3, unit: 'rows written' }]));
});
