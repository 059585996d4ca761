import { expect, it } from 'vitest';
import { figuresByName, type MeasuredFigures, withFigure } from './measured-figures.js';

const measure = (...all: readonly (readonly [stage: string, name: string, value: number])[]) =>
  all.reduce<MeasuredFigures>(
    (figures, [stage, name, value]) =>
      withFigure(figures, {
        runId: 'r',
        sequence: 1,
        time: '2026-01-01T00:00:00.000Z',
        type: 'metric.measured',
        stage,
        data: { name, value },
      }),
    {},
  );

it('keeps the last of a stage, and tells stages that measured the same apart', () => {
  const figures = measure(
    ['gsm8k', 'tuned.accuracy@128', 0.1],
    ['gsm8k', 'tuned.accuracy@128', 0.5],
    ['aime24', 'tuned.accuracy@128', 0.2],
    ['aime24', 'tuned.unparsed@128', 0],
  );
  expect([...figuresByName(figures)].map(([name, { figure }]) => [name, figure.value])).toEqual([
    ['gsm8k/tuned.accuracy@128', 0.5],
    ['aime24/tuned.accuracy@128', 0.2],
    ['tuned.unparsed@128', 0],
  ]);
});

it('has figures in the order of the stages, whichever measured first', () => {
  const figures = measure(
    ['after', 'tuned.accuracy', 0.5],
    ['before', 'base.accuracy', 0.1],
    ['after', 'tuned.cut', 0],
  );
  expect([...figuresByName(figures, ['before', 'after']).keys()]).toEqual([
    'base.accuracy',
    'tuned.accuracy',
    'tuned.cut',
  ]);
});
