import { expect, it } from 'vitest';
import type { RunSummary } from '../run-outcome.js';
import { chooseRuns, type RunChoice } from './choose-runs.js';

const now = new Date('2026-03-01T00:00:00.000Z');
const day = 24 * 3600;

function run(runId: string, status: RunSummary['status'], startedAt: string, endedAt?: string): RunSummary {
  const recipe = runId.split('-')[0]!;
  const counts = { events: 9, stagesDone: 1, stagesTotal: 1 };
  return { runId, recipe, status, startedAt, ...(endedAt === undefined ? {} : { endedAt }), runFolder: '', ...counts };
}

const runs = [
  run('study-old', 'completed', '2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z'),
  run('study-long', 'completed', '2026-01-01T00:00:00.000Z', '2026-02-28T12:00:00.000Z'),
  run('study-failed', 'failed', '2026-01-01T00:00:00.000Z', '2026-01-01T01:00:00.000Z'),
  run('other-killed', 'crashed', '2026-01-01T00:00:00.000Z'),
  { ...run('other-resumed', 'crashed', '2026-01-01T00:00:00.000Z'), lastEventAt: '2026-02-28T12:00:00.000Z' },
  run('other-running', 'running', '2026-01-01T00:00:00.000Z'),
  run('other-waiting', 'queued', '2026-01-01T00:00:00.000Z'),
];

it.each<[RunChoice, readonly string[]]>([
  [{ olderThan: 30 * day }, ['study-old', 'study-failed', 'other-killed']],
  [{ olderThan: 0 }, ['study-old', 'study-long', 'study-failed', 'other-killed', 'other-resumed']],
  [{ statuses: ['failed', 'crashed'] }, ['study-failed', 'other-killed', 'other-resumed']],
  [{ recipe: 'study', statuses: ['completed'] }, ['study-old', 'study-long']],
  [{ recipe: 'stud' }, []],
  [{ recipe: 'other' }, ['other-killed', 'other-resumed']],
])(
  'runs that are %j are chosen by when they ended or had their last event, and none that is under way',
  (choice, ids) => {
    expect(chooseRuns(runs, choice, now).map(({ runId }) => runId)).toEqual(ids);
  },
);
