import { Subject } from 'rxjs';
import { expect, it } from 'vitest';
import type { Event } from '../events/catalogue.js';
import { StageWarnings, toldAgain } from './stage-warnings.js';

function line(message: string, more: object = {}): Event {
  const { level = 'warning', source = 'stage', ...rest } = more as { level?: string; source?: string };
  const data = { level, source, message, trainerEvent: 3 };
  return { runId: 'one', sequence: 1, time: '', type: 'log.written', stage: 'few', attempt: 2, ...rest, data } as Event;
}

const entry = {
  format: 1,
  key: 'k',
  uses: 'curation/select',
  stage: 'few',
  outputs: {},
  runId: 'one',
  createdAt: '',
  seconds: 1,
  facts: [
    { type: 'metric.measured', data: { name: 'rows', value: 3 } },
    { type: 'log.written', data: { level: 'warning', source: 'stage', message: 'most rows are cut' } },
  ],
} as const;

it('of an attempt are its warnings and errors, each once, whoever warns but the engine', () => {
  const batches$ = new Subject<readonly Event[]>();
  using warnings = new StageWarnings(batches$, 'few', 2);
  batches$.next([line('cut'), line('cut'), line('lost', { level: 'error', source: 'trainer main' })]);
  batches$.next([line('news', { level: 'info' }), line('waiting', { source: 'engine' })]);
  batches$.next([line('of before', { attempt: 1 }), line('of another', { stage: 'pool' })]);
  expect(warnings.found.map(({ data }) => data)).toEqual([
    { level: 'warning', source: 'stage', message: 'cut' },
    { level: 'error', source: 'trainer main', message: 'lost' },
  ]);
});

it('of a stage that warns of each row are its first ones', () => {
  const batches$ = new Subject<readonly Event[]>();
  using warnings = new StageWarnings(batches$, 'few', 2);
  for (let row = 0; row < 1000; row++) batches$.next([line(`row ${row}`)]);
  expect(warnings.found).toHaveLength(20);
  expect(warnings.found[0]?.data.message).toBe('row 0');
});

it('are told by another run as of then, and not once more by the run that made the stage', () => {
  expect(toldAgain(entry, 'two', 'few').map(({ data }) => ('message' in data ? data.message : data))).toEqual([
    { name: 'rows', value: 3 },
    'When one made this: most rows are cut',
  ]);
  expect(toldAgain(entry, 'one', 'few')).toEqual([entry.facts[0]]);
});

it('are told with the rows of a stage of another name, whose own step has the name that it has there', () => {
  const counted = (step: string) =>
    ({ type: 'funnel.counted', data: { step, rowsIn: 3, rowsOut: 1, dropped: {} } }) as const;
  const facts = [counted('few'), counted('near duplicates')];
  expect(toldAgain({ ...entry, facts }, 'two', 'some')).toEqual([counted('some'), counted('near duplicates')]);
});
