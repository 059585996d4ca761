import { z } from 'zod';
import { byteSize } from '../../config/byte-size.js';

const seconds = z.number().positive();

/** What a plugin process may take, as manifests and recipes write it; what is left out is decided elsewhere. */
export const processLimitsShape = z.strictObject({
  memory: byteSize
    .optional()
    .describe('Resident memory of the process and all that it starts. Default: all the machine has.'),
  startSeconds: seconds.optional().describe('How long it may take until it serves. Default: 60.'),
  stageSeconds: seconds.optional().describe('How long one run of a stage may take. Default: a day.'),
  answerSeconds: seconds
    .optional()
    .describe(
      'How long it may take to answer a health check or a question of planning, or to take events. Default: 60.',
    ),
  stopSeconds: seconds
    .optional()
    .describe('How long it may take to stop when it is asked to, and what it pays for is there. Default: 10.'),
});

type GivenLimits = z.output<typeof processLimitsShape>;

/** What a plugin process may take. */
export interface ProcessLimits {
  /** Bytes. */
  readonly memory: number;
  readonly startSeconds: number;
  readonly stageSeconds: number;
  readonly answerSeconds: number;
  readonly stopSeconds: number;
}

/** The recipe's word goes before the manifest's. */
export function processLimits(recipe: GivenLimits, manifest: GivenLimits, machineMemory: number): ProcessLimits {
  const chosen = <K extends keyof ProcessLimits>(name: K, standing: number) =>
    recipe[name] ?? manifest[name] ?? standing;
  return {
    memory: chosen('memory', machineMemory),
    startSeconds: chosen('startSeconds', 60),
    stageSeconds: chosen('stageSeconds', 24 * 3600),
    answerSeconds: chosen('answerSeconds', 60),
    stopSeconds: chosen('stopSeconds', 10),
  };
}
