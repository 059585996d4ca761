import { describe, expect, it } from 'vitest';
import type { StageEvent } from '../plugin/definitions.js';
import { checkStageEvent } from './check-stage-event.js';

const funnel = { step: 'short', rowsIn: 3, rowsOut: 2, dropped: { too_long: 1 } };
const check = (type: string, data: unknown) => () => checkStageEvent({ type, data } as StageEvent);

describe('what a stage emits', () => {
  it.each([
    ['funnel.counted', funnel],
    ['funnel.counted', { ...funnel, more: 1 }],
    ['funnel.counted', { ...funnel, rowsOut: 5 }],
    ['stage.progressed', { done: 1, total: null, unit: 'rows' }],
    ['stage.progressed', { done: 0, total: 2, unit: 'rows', secondsLeft: Number.POSITIVE_INFINITY }],
    ['metric.measured', { name: 'm', value: 0.5, interval: [0, 1], labels: { model: 'a', at: 1 } }],
    ['log.written', { level: 'info', source: 'stage', message: 'm' }],
  ])('may be %s', (type, data) => {
    expect(check(type, data)).not.toThrow();
  });

  it.each([
    ['funnel.counted', { step: 'short' }, 'data.rowsIn: '],
    ['funnel.counted', { ...funnel, dropped: undefined }, 'data.dropped: '],
    ['funnel.counted', { ...funnel, rowsOut: 1 }, 'data.dropped: rowsIn 3, rowsOut 1 and 1 dropped do not'],
    [
      'funnel.counted',
      { ...funnel, dropped: { long: 2, twice: 2 } },
      'data.dropped: rowsIn 3, rowsOut 2 and 4 dropped do not',
    ],
    ['metric.measured', { name: 'm', value: Number.NaN }, 'data.value: '],
    ['stage.progressed', { done: 1, unit: 'rows' }, 'data.total: '],
    ['log.written', { level: 'warn', source: 'stage', message: 'm' }, 'data.level: '],
    ['funnel.counted', undefined, 'data: '],
  ])('may not be %s with %j', (type, data, message) => {
    expect(check(type, data)).toThrow(`It emitted ${type} with what does not fit. ${message}`);
  });

  it.each([
    ['hello', 'the text "hello"'],
    [undefined, 'nothing'],
  ])('may not be %j', (event, said) => {
    expect(() => checkStageEvent(event as unknown as StageEvent)).toThrow(`It emitted ${said}, which is no event.`);
  });

  it.each(['stage.completed', 'stage.done'])('may not be %s', (type) => {
    expect(check(type, {})).toThrow(`A stage may not emit ${type}.`);
  });
});
