import type { Event } from 'simmerkit';
import { expect, it } from 'vitest';
import { RunGatherer } from './gather.js';

it('has the warnings of stages that an earlier run made', () => {
  const written = (level: string, message: string) =>
    ({
      runId: 'earlier-20260101-120000-0000',
      sequence: 1,
      time: '2026-01-01T12:00:00.000Z',
      type: 'log.written',
      stage: 'graded',
      data: { level, source: 'stage', message },
    }) as Event;
  const gatherer = new RunGatherer();
  gatherer.addOrigin('grades', [written('info', 'news'), written('warning', 'most answers were cut')]);
  expect(gatherer.result().incidents).toEqual([
    { time: '2026-01-01T12:00:00.000Z', text: 'stage: most answers were cut' },
  ]);
});
