import type { EventData } from 'simmerkit';
import { expect, test } from 'vitest';
import { KeptSteps } from './kept-steps.js';

function step(number: number, loss = 1): EventData['step.logged'] {
  return {
    trainerEvent: number,
    step: number,
    totalSteps: 100_000,
    epoch: 0,
    loss,
    learningRate: 1e-5,
    gradientNorm: 1,
    tokensSeen: 0,
    tokensPerSecond: 1,
    peakMemoryBytes: 1,
    rerun: false,
    rowsSeen: 0,
  };
}

test('a few steps are all kept, in the order of their numbers, each as it ran last', () => {
  const kept = new KeptSteps(8);
  for (const each of [step(1), step(2), step(3), step(2, 0.5)]) kept.add(each);
  expect(kept.inOrder().map(({ step, loss }) => [step, loss])).toEqual([
    [1, 1],
    [2, 0.5],
    [3, 1],
  ]);
});

test('of many steps no more are kept than asked for, evenly spread to the last', () => {
  const kept = new KeptSteps(8);
  for (let number = 1; number <= 100; number++) kept.add(step(number));
  expect(kept.inOrder().map(({ step }) => step)).toEqual([16, 32, 48, 64, 80, 96]);
});
