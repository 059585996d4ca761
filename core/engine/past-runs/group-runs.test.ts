import { describe, expect, it } from 'vitest';
import type { Json } from '../../recipe/plan.js';
import type { ComparedRun } from './compare-runs.js';
import { groupRuns } from './group-runs.js';

const run = (runId: string, differs: Readonly<Record<string, Json>>, figure: number, status = 'completed') =>
  ({
    runId,
    status,
    differs,
    trainings: { tuned: { steps: 8, loss: figure, ...(figure > 2 ? { evaluationLoss: figure } : {}) } },
    metrics: { 'm.accuracy@64': { name: 'm.accuracy@64', value: figure / 10, interval: [0, 1], unit: 'share' } },
  }) as unknown as ComparedRun;

const sweep = [
  run('a', { 'params.rate': 1, 'stages.tuned.seed': 1 }, 1),
  run('b', { 'params.rate': 2, 'stages.tuned.seed': 1 }, 5),
  run('c', { 'params.rate': 1, 'stages.tuned.seed': 2 }, 3),
  run('d', { 'params.rate': 1, 'stages.tuned.seed': 3 }, 9, 'failed'),
];

describe('groups of runs', () => {
  it('are of those that completed and differ in one thing, with means and standard deviations', () => {
    const metric = { name: 'm.accuracy@64', unit: 'share' };
    expect(groupRuns(sweep, 'stages.tuned.seed')).toEqual([
      {
        runIds: ['a', 'c'],
        differs: { 'params.rate': 1 },
        trainings: {
          tuned: {
            loss: { mean: 2, deviation: expect.closeTo(Math.SQRT2), runs: 2 },
            evaluationLoss: { mean: 3, deviation: null, runs: 1 },
          },
        },
        metrics: {
          'm.accuracy@64': {
            ...metric,
            mean: expect.closeTo(0.2),
            deviation: expect.closeTo(Math.SQRT2 / 10),
            runs: 2,
          },
        },
      },
      {
        runIds: ['b'],
        differs: { 'params.rate': 2 },
        trainings: {
          tuned: {
            loss: { mean: 5, deviation: null, runs: 1 },
            evaluationLoss: { mean: 5, deviation: null, runs: 1 },
          },
        },
        metrics: { 'm.accuracy@64': { ...metric, mean: 0.5, deviation: null, runs: 1 } },
      },
    ]);
  });

  it('count a value that was run again once, with its last run', () => {
    const again = run('e', { 'params.rate': 1, 'stages.tuned.seed': 1 }, 4);
    const [first] = groupRuns([...sweep, again], 'stages.tuned.seed');
    expect(first).toMatchObject({ runIds: ['e', 'c'], trainings: { tuned: { loss: { mean: 3.5, runs: 2 } } } });
  });

  it('may be over a param, by its name alone', () => {
    expect(groupRuns(sweep, 'rate').map(({ runIds }) => runIds)).toEqual([['a', 'b'], ['c']]);
  });

  it('are refused over what does not differ, with what does', () => {
    expect(() => groupRuns(sweep, 'seed')).toThrow(
      expect.objectContaining({
        code: 'nothing_differs',
        message: 'The runs do not differ in "seed".',
        hint: 'They differ in params.rate, stages.tuned.seed.',
      }),
    );
  });
});
