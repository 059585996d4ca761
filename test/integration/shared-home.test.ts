import type { Event, Sink } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { countingPlugin, watched } from './counting-plugin.js';

const recipe = `
name: shared
stages:
  numbers: { uses: counting/count, with: { to: 3 } }
  total: { uses: counting/sum, with: { of: ["\${{ stages.numbers.numbers }}"] } }
`;

it('two runs of one recipe at once make each stage once: the second waits and takes what the first made', async () => {
  const firstIsAtWork = deferred<void>();
  const secondWaits = deferred<void>();
  const watchFirst = watched(async (stage) => {
    if (stage !== 'numbers') return;
    firstIsAtWork.resolve();
    await secondWaits.promise;
  });
  const watchSecond = watched();
  await using first = await RunHarness.create({ plugins: [countingPlugin(watchFirst)] });
  await using second = await RunHarness.create({ plugins: [countingPlugin(watchSecond)], home: first.home });
  const isWaiting = (event: Event) =>
    event.type === 'log.written' && event.data.message.startsWith('The same stage is being made elsewhere');
  const sink: Sink = {
    onEvent: (event) => {
      if (isWaiting(event)) secondWaits.resolve();
    },
  };

  const firstRun = first.run(recipe);
  await firstIsAtWork.promise;
  const secondRun = await second.run(recipe, { sinks: [sink] });
  const { runId, outcome } = await firstRun;

  expect(outcome.status).toBe('completed');
  expect(secondRun.outcome).toEqual(outcome);
  expect([...watchFirst.begun, ...watchSecond.begun].toSorted()).toEqual(['numbers', 'total']);
  expect(secondRun.eventsOf('stage.reused').map(({ stage }) => stage)).toContain('numbers');
  expect(secondRun.events.find(isWaiting)?.data).toMatchObject({
    message: expect.stringContaining(`It is with run ${runId}: process ${process.pid}`),
  });
});

it('a run that waits for another one can be interrupted', async () => {
  const firstIsAtWork = deferred<void>();
  const secondWaits = deferred<void>();
  const letGo = deferred<void>();
  const watchFirst = watched(async () => {
    firstIsAtWork.resolve();
    await letGo.promise;
  });
  await using first = await RunHarness.create({ plugins: [countingPlugin(watchFirst)] });
  await using second = await RunHarness.create({ plugins: [countingPlugin(watched())], home: first.home });
  const firstRun = first.run(recipe);
  await firstIsAtWork.promise;
  const handle = await second.start(recipe, {
    sinks: [{ onEvent: ({ type }) => (type === 'log.written' ? secondWaits.resolve() : undefined) }],
  });
  await secondWaits.promise;
  handle.interrupt('enough');
  expect(await handle.finished).toEqual({ status: 'interrupted', reason: 'enough' });
  letGo.resolve();
  expect((await firstRun).outcome.status).toBe('completed');
});
