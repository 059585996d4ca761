import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../../engine/run-outcome.js';
import { requireMeasured, runsNamed } from './compare.js';

describe('runs that are named', () => {
  const all = ['my-1', 'my-2', 'other-1'].map(
    (runId) => ({ runId, recipe: runId.slice(0, -2), status: 'completed', startedAt: runId, events: 9 }) as RunSummary,
  );
  const find = async (name: string): Promise<RunSummary> => {
    throw new Error(`there is no run "${name}"`);
  };
  const named = (...names: string[]) => runsNamed(names, { runs: async () => all, find });

  it('by an id are not left out for their recipe, which is named as well', async () => {
    const { named: runs, ofRecipes } = await named('my', 'my-2');
    expect(runs.map(({ runId }) => runId)).toEqual(['my-1', 'my-2']);
    expect([...ofRecipes]).toEqual(['my-1']);
  });

  it('by a recipe are not its inspections, which train and measure nothing and differ in their stages', async () => {
    const inspection = { ...all[0], runId: 'my-3', startedAt: 'my-3', inspects: 'tuned' } as RunSummary;
    const runs = async () => [...all, inspection];
    expect((await runsNamed(['my'], { runs, find })).named.map(({ runId }) => runId)).toEqual(['my-1', 'my-2']);
    const chosen = await runsNamed(['my', 'my-3'], { runs, find });
    expect(chosen.named.map(({ runId }) => runId)).toEqual(['my-1', 'my-2', 'my-3']);
  });

  it('by a recipe of which only inspections are left are refused', async () => {
    const runs = async () => all.map((run) => ({ ...run, inspects: 'tuned' }));
    await expect(runsNamed(['my'], { runs, find })).rejects.toMatchObject({
      code: 'nothing_to_compare',
      message: 'my has inspections alone: my-1, my-2.',
    });
    expect((await runsNamed(['my-1', 'my-2'], { runs, find })).named).toHaveLength(2);
  });

  it('by nothing are none, and not all', async () => {
    await expect(named('', 'my')).rejects.toThrow('there is no run ""');
  });
});

describe('the names of metrics', () => {
  const metric = { name: 'tuned.accuracy@96', value: 50, unit: 'percent' };
  const runs = [{ metrics: {} }, { metrics: { [metric.name]: metric } }];

  it('are those that a run has', () => expect(() => requireMeasured('tuned.*', runs)).not.toThrow());

  it.each([
    ['untuned.*', runs, 'There is: tuned.accuracy@96.'],
    ['tuned.acuracy@96', runs, 'Did you mean "tuned.accuracy@96"?'],
    ['*', [{ metrics: {} }], 'They measured nothing.'],
  ])('%s, which no run has, are refused', (pattern, of, hint) =>
    expect(() => requireMeasured(pattern, of)).toThrow(expect.objectContaining({ code: 'metric_not_found', hint })),
  );
});
