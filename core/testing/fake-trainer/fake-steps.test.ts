import { expect, it } from 'vitest';
import { Hyperparameters } from '../../generated/simmer/trainer/v1/trainer.js';
import { FakeSteps } from './fake-steps.js';

const steps = () =>
  new FakeSteps(
    Hyperparameters.fromPartial({ globalBatchSize: 2 }),
    40,
    { trained: 0, hasAllRows: false },
    { diverges: true },
  );

it('a training that diverges from others keeps to the losses that it told', () => {
  const one = steps();
  const losses = () => Array.from({ length: 40 }, (_, index) => one.loss(index + 1));
  const told = losses();
  expect(losses()).toEqual(told);
  const mean = (last: number) => told.slice(last - 8, last).reduce((sum, loss) => sum + loss) / 8;
  expect(one.lossRise(9)).toBeCloseTo(Math.max(0, mean(9) - mean(8)), 10);
  expect(steps().loss(1)).not.toBe(told[0]);
});
