import { expect, it } from 'vitest';
import { temporaryFolder } from '../../../../test/temporary-folder.js';
import { fixtureRun } from '../report.fixture.js';
import { lossChart } from './loss-chart.js';

it.each([1, 2, 3, 7, 120])('marks whole steps along the axis of %i', async (count) => {
  const { events } = await fixtureRun(await temporaryFolder(), '');
  const steps = events.flatMap((event) => (event.type === 'step.logged' ? [event.data] : [])).slice(0, count);
  const drawn = lossChart({
    stage: 'tuned',
    steps,
    evaluations: [],
    checkpoints: [],
    rerunSteps: 0,
    started: undefined,
    completed: undefined,
  });
  const axis = /aria-label="x-axis tick label"[^>]*>(.*?)<\/g>/s.exec(drawn)?.[1] ?? '';
  const marked = [...axis.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text);
  expect(marked.length).toBeGreaterThan(0);
  expect(marked.filter((text) => !/^\d+$/.test(text ?? ''))).toEqual([]);
  expect(new Set(marked).size).toBe(marked.length);
});
