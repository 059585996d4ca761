import { builtInHardware, type Hyperparameters } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { calibrationRuns } from './calibration.js';
import { estimateJob } from './estimate.js';
import { jobOf, s1Job } from './s1-job.fixture.js';
import { longestOf, passSeconds } from './training-time.js';

const hardware = builtInHardware['h100-sxm'];

describe('the time of a training', () => {
  it('is told part by part, its steps as the calibration has them', () => {
    const { seconds, time = [] } = estimateJob(s1Job({ checkpointEverySteps: 63 }), { hardware, gpus: 16, nodes: 2 });
    expect(time.map(({ part }) => part)).toEqual(['start', 'steps', '5 checkpoints', 'writing the model']);
    expect(time.reduce((sum, part) => sum + part.seconds, 0)).toBeCloseTo(seconds ?? 0);
    const steps = time.find(({ part }) => part === 'steps')!;
    expect(steps.seconds / 60).toBeCloseTo(calibrationRuns().find(({ run }) => run.startsWith('s1-32B'))!.predicted);
  });

  it.each([
    [63, '5 checkpoints'],
    [50, '7 checkpoints'],
    [400, '1 checkpoint'],
    [0, '1 checkpoint'],
  ])('has a checkpoint of the last step, too: every %d of 315', (checkpointEverySteps, expected) => {
    const { time = [] } = estimateJob(s1Job({ checkpointEverySteps }), { hardware, gpus: 16, nodes: 2 });
    expect(time.map(({ part }) => part)).toContain(expected);
  });

  it.each([
    [0, 50, '7 checkpoints'],
    [63, 0, '5 checkpoints'],
    [63, 63, '5 checkpoints'],
    [30, 45, '14 checkpoints'],
    [100, 70, '8 checkpoints'],
  ])(
    'has a checkpoint of each evaluation that keepBest may keep, once: every %d steps and every %d',
    (checkpointEverySteps, evaluateEverySteps, expected) => {
      const job = s1Job({ checkpointEverySteps, evaluateEverySteps, keepBest: true });
      const estimate = estimateJob({ ...job, evaluation: { rows: 16 } }, { hardware, gpus: 16, nodes: 2 });
      expect(estimate.time?.map(({ part }) => part)).toContain(expected);
      expect(estimate.isAtMost).toBe(evaluateEverySteps > 0 ? true : undefined);
    },
  );

  it('grows with the square of the length in those layers of a hybrid alone that attend', () => {
    const place = { hardware: hardware!, gpus: 1, nodes: 1, precision: 'bfloat16' } as const;
    const growth = (attentionLayers: number) => {
      const shape = { parameters: 8e9, layers: 48, attentionLayers, hiddenSize: 2048 };
      const work = { sequencesPerDevice: 1, recomputedShare: 1, trainsAll: true };
      const seconds = (sequenceLength: number) => passSeconds(shape, { ...work, sequenceLength }, place)!;
      return seconds(32_768) - 2 * seconds(16_384);
    };
    expect(growth(48)).toBeGreaterThan(0);
    expect(growth(12) / growth(48)).toBeCloseTo(1 / 4, 9);
  });

  it('has no checkpoint where there are no rows, and so no steps', () => {
    const job = { ...s1Job(), data: { rows: 0, tokensPerRow: 100 } };
    const { seconds, time = [] } = estimateJob(job, { hardware, gpus: 16, nodes: 2 });
    expect(time.map(({ part }) => part)).toContain('0 checkpoints');
    expect(seconds).toBeGreaterThan(0);
  });

  it('has passes forward over the evaluation rows, every so many steps and after the last one', () => {
    const place = { hardware, gpus: 16, nodes: 2 };
    const evaluated = (rows: number, evaluateEverySteps: number, more: Partial<Hyperparameters> = {}) => {
      const job = s1Job({ evaluateEverySteps, ...more });
      const { time = [] } = estimateJob({ ...job, evaluation: { rows } }, place);
      return time.find(({ part }) => part.includes('evaluation'));
    };
    expect(evaluated(1600, 0)).toBeUndefined();
    expect(evaluated(1600, 400)?.part).toBe('1 evaluation');
    const some = evaluated(1600, 100)!;
    expect(some.part).toBe('4 evaluations');
    expect(evaluated(3200, 100)!.seconds).toBeCloseTo(2 * some.seconds, 5);
    // A step goes forward and back, and computes activations twice: four times as much.
    const { time = [], figures = {} } = estimateJob(s1Job(), place);
    const steps = time.find(({ part }) => part === 'steps')!.seconds / (figures.steps ?? 0);
    expect(some.seconds / 400 / steps).toBeGreaterThan(0.1);
    expect(some.seconds / 400 / steps).toBeLessThan(0.3);
    // Several rows share a pass, and with it the gathering of weights.
    const packed = evaluated(1600, 100, { packing: true })!;
    expect(packed.seconds / some.seconds).toBeGreaterThan(0.8);
    expect(packed.seconds).toBeLessThan(some.seconds);
  });

  it('says that evaluations are not in it where nobody knows of how many rows they are', () => {
    const { notes, time = [] } = estimateJob(s1Job({ evaluateEverySteps: 10 }), { hardware, gpus: 16, nodes: 2 });
    expect(time.map(({ part }) => part)).not.toContain('32 evaluations');
    expect(notes?.join()).toContain('How many rows `evaluation` has is not known');
  });

  it('has the same steps with packing, as a step has the same rows, and less padding in them', () => {
    const place = { hardware, gpus: 16, nodes: 2 };
    const [padded, packed] = [false, true].map((packing) =>
      estimateJob(jobOf({ maxSequenceLength: 8192, globalBatchSize: 64, packing }), place),
    );
    expect(packed?.figures?.steps).toBe(padded?.figures?.steps);
    expect(packed?.figures?.steps).toBe(5 * Math.ceil(1000 / 64));
    expect(packed?.seconds).toBeLessThan(padded?.seconds ?? 0);
    expect(packed?.figures?.tokensPerSecondPerGpu).toBeGreaterThan(padded?.figures?.tokensPerSecondPerGpu ?? 0);
  });

  it('is the most that it can be where there may be fewer rows', () => {
    const place = { hardware, gpus: 16, nodes: 2 };
    const job = s1Job();
    expect(estimateJob(job, place).isAtMost).toBeUndefined();
    expect(estimateJob({ ...job, data: { ...job.data, isAtMost: true } }, place).isAtMost).toBe(true);
    const evaluation = { rows: 100, isAtMost: true };
    expect(estimateJob({ ...s1Job({ evaluateEverySteps: 10 }), evaluation }, place).isAtMost).toBe(true);
    expect(estimateJob({ ...job, evaluation }, place).isAtMost).toBeUndefined();
  });
});

it('takes the longest of some rows for longer, the more rows there are', () => {
  expect(longestOf(1, 100, 0.4)).toBe(100);
  expect(longestOf(16, 100, 0.4)).toBeCloseTo(187, 0);
  expect(longestOf(1000, 100, 0.4)).toBeGreaterThan(longestOf(16, 100, 0.4));
});
