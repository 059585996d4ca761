import { describe, expect, it } from 'vitest';
import { WorkEstimate as WorkEstimateMessage } from '../../generated/simmer/plugin/v1/planning.js';
import type { WorkEstimate } from '../estimate.js';
import { fromWorkEstimate, toWorkEstimate } from './planning-wire.js';

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
