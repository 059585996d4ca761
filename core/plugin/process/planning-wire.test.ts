import { describe, expect, it } from 'vitest';
import { EstimateJobRequest } from '../../generated/simmer/plugin/v1/host.js';
import { WorkEstimate as WorkEstimateMessage } from '../../generated/simmer/plugin/v1/planning.js';
import { hyperparameters } from '../../testing/trainer-conformance/trainer-bench.js';
import { toHyperparameters } from '../../trainer/requests-from-wire.js';
import type { TrainerJob, WorkEstimate } from '../estimate.js';
import { fromWorkEstimate, toTrainerJob, toWorkEstimate } from './planning-wire.js';
import { fromTrainerJob } from './trainer-wire.js';

const overTheWire = (message: WorkEstimateMessage) =>
  toWorkEstimate(WorkEstimateMessage.decode(WorkEstimateMessage.encode(message).finish()));

describe('an estimate of work on the wire', () => {
  it.each<WorkEstimate>([
    {},
    {
      seconds: 90,
      time: [
        { part: 'start', seconds: 30 },
        { part: 'steps', seconds: 60 },
      ],
      isAtMost: true,
      memory: [{ part: 'weights', bytes: 2e9 }],
      advice: [
        { change: 'gradientCheckpointing: true', bytes: 1e9 },
        { change: 'hardware: h200', bytes: 2e9, memoryBytes: 141e9 },
      ],
      figures: { steps: 10 },
      notes: ['a'],
    },
  ])('is whole: %j', (estimate) => {
    expect(overTheWire(fromWorkEstimate(estimate))).toEqual(estimate);
  });

  it.each<readonly [WorkEstimate, string]>([
    [{ time: [{ part: 'steps', seconds: -1 }] }, 'The plugin estimated steps as -1'],
    [{ advice: [{ change: 'gpus: 2', bytes: 1, memoryBytes: Number.NaN }] }, 'The plugin estimated gpus: 2 as NaN'],
  ])('is refused with a figure that is none: %j', (estimate, message) => {
    expect(() => overTheWire(fromWorkEstimate(estimate))).toThrow(message);
  });
});

it.each<Partial<TrainerJob>>([
  {},
  { evaluation: { rows: 20, tokensPerRow: 9 } },
  { evaluation: {}, extensions: { weights: 'bfloat16' } },
])('a training on the wire is whole: %j', (more) => {
  const known = { model: { config: { layers: 2 } }, data: { rows: 100 } };
  const job = {
    kind: 'training',
    ...known,
    hyperparameters: toHyperparameters(hyperparameters),
    ...more,
  } as TrainerJob;
  const message = { callId: '', trainer: '', job: fromTrainerJob(job) };
  expect(toTrainerJob(EstimateJobRequest.decode(EstimateJobRequest.encode(message).finish()).job)).toEqual(job);
});
