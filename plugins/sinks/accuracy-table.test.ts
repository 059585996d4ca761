import { inStageOrder, type MeasuredFigure } from 'simmerkit';
import { expect, it } from 'vitest';
import { accuracyTable, measuredDifferences, signedPoints } from './accuracy-table.js';

const accuracy = (stage: string, model: string, policy: string, value: number): MeasuredFigure => ({
  stage,
  figure: {
    name: `${model}.accuracy@${policy}`,
    value,
    labels: { model, policy, method: 'budget-forcing', maxThinkingTokens: 64, ignore: 0, word: '' },
  },
});

it('keeps the accuracies of one model on two benchmarks apart', () => {
  const { models, policies } = accuracyTable([
    accuracy('base-graded', 'base', '64', 0.1),
    accuracy('gsm8k-graded', 'tuned', '64', 0.5),
    accuracy('aime24-graded', 'tuned', '64', 0.2),
    accuracy('votes', 'tuned', '64+maj8', 0.6),
  ]);
  expect(models).toEqual(['base', 'tuned (gsm8k-graded)', 'tuned (aime24-graded)', 'tuned (votes)']);
  expect(
    policies.map(({ id, accuracies }) => [id, ...models.map((model) => accuracies.get(model)?.value ?? null)]),
  ).toEqual([
    ['64', 0.1, 0.5, 0.2, null],
    ['64+maj8', null, null, null, 0.6],
  ]);
});

it('names a model by itself where each of its accuracies was measured once', () => {
  const { models } = accuracyTable([
    accuracy('graded', 'tuned', '64', 0.5),
    accuracy('votes', 'tuned', '64+maj8', 0.6),
  ]);
  expect(models).toEqual(['tuned']);
});

it('has the models in the order of the stages, whichever ended first', () => {
  const ended = { b: accuracy('tuned-graded', 'tuned', '64', 0.5), a: accuracy('base-graded', 'base', '64', 0.1) };
  expect(accuracyTable(inStageOrder(ended, ['base-graded', 'tuned-graded'])).models).toEqual(['base', 'tuned']);
});

it('tells a maximum that was forced from ones that were asked for, or drawn for', () => {
  const byMethod = (policy: string, method: string): MeasuredFigure => {
    const { stage, figure } = accuracy('graded', 'tuned', policy, 0.5);
    return { stage, figure: { ...figure, labels: { ...figure.labels, method } } };
  };
  const figures = [
    byMethod('64', 'budget-forcing'),
    byMethod('tokens64', 'token-conditional'),
    byMethod('tokens64+forced', 'token-conditional+forced'),
    byMethod('reject64', 'rejection'),
  ];
  expect(accuracyTable(figures).policies.map(({ label }) => label)).toEqual([
    '64 tokens',
    '64 tokens, tokens64',
    '64 tokens, tokens64+forced',
    '64 tokens, reject64',
  ]);
});

it('tells differences of the same models by the stage that compared them', () => {
  const difference = (stage: string, value: number): MeasuredFigure => ({
    stage,
    figure: {
      name: 'tuned-untuned.accuracy@64',
      value,
      labels: { kind: 'model', model: 'tuned', policy: '64', fromModel: 'untuned', fromPolicy: '64' },
    },
  });
  const label = (figures: readonly MeasuredFigure[]) => measuredDifferences(figures).map((one) => one.label);
  expect(label([difference('gsm8k', 0.1)])).toEqual(['tuned over untuned, @64']);
  expect(label([difference('gsm8k', 0.1), difference('aime24', 0.2)])).toEqual([
    'tuned over untuned, @64 (gsm8k)',
    'tuned over untuned, @64 (aime24)',
  ]);
});

it.each([
  [0.042, '+4.2'],
  [-0.02, '\u22122.0'],
  [0, '0.0'],
  [-2e-17, '0.0'],
])('gives a sign to no difference that rounds to nothing: %d is %s points', (difference, points) => {
  expect(signedPoints(difference)).toBe(points);
});
