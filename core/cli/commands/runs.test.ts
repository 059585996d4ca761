import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import { runLines } from './runs.js';

const run = {
  recipe: 'study',
  status: 'completed',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: '2026-01-01T00:01:00.000Z',
  runFolder: '/runs/study',
  events: 9,
  stagesDone: 3,
  stagesTotal: 3,
} as const;

it('tells the runs of a sweep apart by what the command line changed', () => {
  const changes = (learningRate: string) => [`--set stages.tuned.with.learningRate=${learningRate}`];
  const summaries = [
    { ...run, runId: 'study-3', changes: changes('3e-4') },
    { ...run, runId: 'study-2', changes: changes('1e-4') },
    { ...run, runId: 'study-1' },
    { ...run, runId: 'study-0', inspects: 'tuned', changes: changes('1e-4') },
  ];
  const options = { now: new Date('2026-01-01T00:02:00.000Z'), colors: picocolors.createColors(false) };
  expect(runLines(summaries, options)).toEqual([
    'run      recipe  status     stages  events     started    took  changed',
    'study-3  study   completed     3/3       9  2m 00s ago  1m 00s  --set stages.tuned.with.learningRate=3e-4',
    'study-2  study   completed     3/3       9  2m 00s ago  1m 00s  --set stages.tuned.with.learningRate=1e-4',
    'study-1  study   completed     3/3       9  2m 00s ago  1m 00s',
    'study-0  study   completed     3/3       9  2m 00s ago  1m 00s  inspects tuned --set stages.tuned.with.learningRate=1e-4',
  ]);
});

it('tells no time that a clock which was set back would make nothing of', () => {
  const summary = { ...run, runId: 'study-1', endedAt: '2025-12-31T23:00:00.000Z' };
  const options = { now: new Date('2025-12-31T23:30:00.000Z'), colors: picocolors.createColors(false) };
  expect(runLines([summary], options)[1]).toBe('study-1  study   completed     3/3       9  2026-01-01 00:00');
});

it('tells a run that began just now as such, where the clock of its server is ahead by a moment', () => {
  const options = { now: new Date('2025-12-31T23:59:58.000Z'), colors: picocolors.createColors(false) };
  expect(runLines([{ ...run, runId: 'study-1' }], options)[1]).toContain('0.0s ago');
});

it('leaves the recipe, which ids begin with, out of lines that are too narrow for it', () => {
  const changes = ['--set stages.tuned.seed=8'];
  const options = { now: new Date('2026-01-01T00:02:00.000Z'), colors: picocolors.createColors(false) };
  const lines = (width: number) =>
    runLines([{ ...run, runId: 'study-20260101-000000-1a2b', changes }], { ...options, width });
  expect(lines(103)[1]).toBe(
    'study-20260101-000000-1a2b  study   completed     3/3       9  2m 00s ago  1m 00s  --set',
  );
  expect(lines(102)).toEqual([
    'run                         status     stages  events     started    took  changed',
    'study-20260101-000000-1a2b  completed     3/3       9  2m 00s ago  1m 00s  --set stages.tuned.seed=8',
  ]);
  expect(runLines([{ ...run, runId: 'study-1' }], { ...options, width: 70 })[0]).toContain('recipe');
});

it('leaves more out of narrower lines, and has what was changed below them', () => {
  const changes = ['--set stages.tuned.seed=8'];
  const options = { now: new Date('2026-01-01T00:02:00.000Z'), colors: picocolors.createColors(false) };
  const lines = (width: number) =>
    runLines([{ ...run, runId: 'study-20260101-000000-1a2b', changes }], { ...options, width });
  expect(lines(80)).toEqual([
    'run                         status     stages  events     started    took',
    'study-20260101-000000-1a2b  completed     3/3       9  2m 00s ago  1m 00s',
    '  --set stages.tuned.seed=8',
  ]);
  expect(lines(60)).toEqual([
    'run                         status     stages     started',
    'study-20260101-000000-1a2b  completed     3/3  2m 00s ago',
    '  --set stages.tuned.seed=8',
  ]);
});

it('prints what others gave their runs in one line, and nothing that a terminal would obey', () => {
  const changes = [`-p note=\u001b]0;title\u0007\u009b2J\nstudy-9  study  completed ${'x'.repeat(999)}`];
  const options = { now: new Date('2026-01-01T00:02:00.000Z'), colors: picocolors.createColors(false) };
  const lines = runLines([{ ...run, runId: 'study-1', changes }], options);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(/^\P{Cc}{1,300}$/u);
});
