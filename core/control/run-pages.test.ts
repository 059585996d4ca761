import { expect, it } from 'vitest';
import { pageOf } from './run-pages.js';
import type { ServedRun } from './wire.js';

const run = (runId: string, changes: readonly string[] = []): ServedRun => ({
  runId,
  recipe: 'study',
  changes,
  status: 'completed',
  startedAt: '2026-01-01T00:00:00.000Z',
  runFolder: `/runs/${runId}`,
  events: 9,
  stagesDone: 3,
  stagesTotal: 3,
});
const ask = { pageSize: 0, filter: undefined };

it('a page has no more of what was changed in recipes than goes into a message, and the next one has the rest', () => {
  const long = [`-p question=${'x'.repeat(600_000)}`];
  const runs = [run('study-4', long), run('study-3', long), run('study-2'), run('study-1', [...long, ...long])];
  const pages: string[][] = [];
  for (let pageToken = ''; ; ) {
    const page = pageOf(runs, { ...ask, pageToken });
    pages.push(page.runs.map(({ runId }) => runId));
    pageToken = page.nextPageToken;
    if (pageToken === '') break;
  }
  expect(pages).toEqual([['study-4'], ['study-3', 'study-2'], ['study-1']]);
});
