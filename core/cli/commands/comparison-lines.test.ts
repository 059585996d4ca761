import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import type { ComparedRun } from '../../engine/past-runs/compare-runs.js';
import type { RunGroup } from '../../engine/past-runs/group-runs.js';
import { comparisonLines, groupLines } from './comparison-lines.js';

const run = (number: number, more: Partial<ComparedRun> = {}): ComparedRun => ({
  runId: `my-${number}`,
  recipe: 'my',
  status: 'completed',
  startedAt: '',
  seconds: 60 * number,
  usd: 0,
  differs: { 'params.rate': number / 1000 },
  trainings: { tuned: { steps: 8, loss: number / 3 } },
  metrics: { 'm.accuracy@64': { name: 'm.accuracy@64', value: number / 10, interval: [0, 1], unit: 'share' } },
  ...more,
});

const lines = (runs: readonly ComparedRun[], width = 80) =>
  comparisonLines(runs, () => true, { colors: picocolors.createColors(false), width });

describe('runs side by side', () => {
  it('are told apart by what differs, and have a column each', () => {
    expect(lines([run(1), run(2, { usd: 1.5, trainings: {}, metrics: {} })])).toEqual([
      '1  my-1  completed  1m 00s         rate=0.001',
      '2  my-2  completed  2m 00s  $1.50  rate=0.002',
      '',
      '               1                     2',
      'tuned loss     0.3333                –',
      'm.accuracy@64  10.0% [0.0%, 100.0%]  –',
    ]);
  });

  it('say of how many problems a figure is where it is of more in another run', () => {
    const metric = (value: number, count: number) => ({
      metrics: { 'm.accuracy': { name: 'm.accuracy', value, unit: 'share', count } },
    });
    const of = (count: number) => lines([run(1, metric(0.5, 50)), run(2, metric(0.25, count))]).at(-1);
    expect(of(1200)).toBe('m.accuracy  50.0% of 50  25.0% of 1,200');
    expect(of(50)).toBe('m.accuracy  50.0%   25.0%');
  });

  it('show no escape sequence of a recipe to the terminal', () => {
    const [first] = lines([run(1, { differs: { 'a.b': 'x\u001b]0;y\u0007', c: ['\u009b2J'] } }), run(2)]);
    expect(first).toMatch(/a\.b=x \]0;y c=\[" 2J"\]$/);
  });

  it('stand below each other where the terminal is narrow', () => {
    const narrow = lines([run(1), run(2), run(3)], 60);
    expect(narrow.filter((line) => line.startsWith('m.accuracy'))).toEqual([
      'm.accuracy@64  10.0% [0.0%, 100.0%]  20.0% [0.0%, 100.0%]',
      'm.accuracy@64  30.0% [0.0%, 100.0%]',
    ]);
    expect(narrow.map((line) => line.length).filter((length) => length > 60)).toEqual([]);
  });

  it('have a line each where they are many', () => {
    const runs = Array.from({ length: 9 }, (_, index) => run(index + 1));
    expect(lines(runs).slice(10, 13)).toEqual([
      '               tuned loss  m.accuracy@64',
      '1  rate=0.001  0.3333      10.0% [0.0%, 100.0%]',
      '2  rate=0.002  0.6667      20.0% [0.0%, 100.0%]',
    ]);
    expect(lines(runs)).toHaveLength(9 + 1 + 1 + 9);
    expect(lines(runs, 30).filter((line) => line.includes('tuned loss'))).toHaveLength(1);
    expect(lines(runs, 30).filter((line) => line.includes('m.accuracy'))).toHaveLength(1);
  });

  it('have a table of what differs where their lines do not hold it, and long texts wrapped', () => {
    const long = (number: number, differs: ComparedRun['differs']) =>
      run(number, { runId: `ablations-20260101-120000-000${number}`, differs, trainings: {}, metrics: {} });
    const both = { 'params.selection': 'longest', 'stages.tuned.with.learningRate': 0.000_04 };
    expect(lines([long(1, both), long(2, { 'params.selection': 'all' })])).toEqual([
      '1  ablations-20260101-120000-0001  completed  1m 00s',
      '2  ablations-20260101-120000-0002  completed  2m 00s',
      '',
      '   selection  stages.tuned.with.learningRate',
      '1  longest    0.00004',
      '2  all        –',
    ]);
    const without = lines([long(1, both), long(2, { ...both, 'params.selection': null })]);
    expect(without.at(-1)).toBe('2  –          0.00004');
    const prompts = [long(1, { 'params.prompt': 'say it '.repeat(14).trim() }), long(2, { 'params.prompt': '' })];
    expect(lines(prompts).slice(0, 2)).toEqual([
      '1  ablations-20260101-120000-0001  completed  1m 00s    prompt=say it say it say',
      `${' '.repeat(56)}it say it say it say it`,
    ]);
  });

  it('say once what all of them share', () => {
    const metrics = { 'base.accuracy': { name: 'base.accuracy', value: 0.5, unit: 'share' } };
    expect(lines([run(1, { metrics }), run(2, { metrics })]).slice(2)).toEqual([
      '',
      '            1       2',
      'tuned loss  0.3333  0.6667',
      '',
      'alike in all',
      '  base.accuracy  50.0%',
    ]);
    const same = [run(1, { trainings: {}, metrics }), run(2, { trainings: {}, metrics })];
    expect(lines(same).slice(2)).toEqual(['', 'alike in all', '  base.accuracy  50.0%']);
  });

  it('have their numbers alone where what is their own is long', () => {
    const runs = Array.from({ length: 12 }, (_, index) =>
      run(index + 1, { differs: { 'params.prompt': 'x'.repeat(40) } }),
    );
    expect(lines(runs).slice(13, 16)).toEqual([
      '    tuned loss  m.accuracy@64',
      '1   0.3333      10.0% [0.0%, 100.0%]',
      '2   0.6667      20.0% [0.0%, 100.0%]',
    ]);
  });

  it('are told where there is nothing that was measured', () => {
    expect(lines([run(1, { trainings: {}, metrics: {} })])).toHaveLength(1);
  });
});

it('groups of runs have means, and standard deviations where they are several', () => {
  const group = (rate: number, runIds: readonly string[], deviation: number | null): RunGroup => {
    const spread = { mean: rate / 3, deviation, runs: runIds.length };
    const metrics = { 'm.accuracy@64': { ...spread, name: 'm.accuracy@64', unit: 'share' } };
    return { runIds, differs: { 'params.rate': rate }, trainings: { tuned: { loss: spread } }, metrics };
  };
  const shape = { colors: picocolors.createColors(false), width: 80 };
  expect(groupLines([group(1, ['a', 'b'], 0.010_23), group(2, ['c'], null)], () => true, shape)).toEqual([
    '1  2 runs  rate=1',
    '2  1 run   rate=2',
    '',
    '               1              2',
    'tuned loss     0.3333 ± 0.01  0.6667',
    'm.accuracy@64  33.3% ± 1.0%   66.7%',
  ]);
});

it('groups say of how many runs a figure is that not all of them have', () => {
  const spread = { mean: 2, deviation: 0.5, runs: 2 };
  const groups: RunGroup[] = [
    { runIds: ['a', 'b', 'c'], differs: {}, trainings: { tuned: { loss: spread } }, metrics: {} },
  ];
  const shape = { colors: picocolors.createColors(false), width: 80 };
  expect(groupLines(groups, () => true, shape).at(-1)).toBe('tuned loss  2 ± 0.5 (2 of 3)');
});
