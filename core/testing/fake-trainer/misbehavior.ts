import { z } from 'zod';

/** How a fake trainer misbehaves, for tests of what must survive it. */
export const misbehaviorSchema = z.strictObject({
  stepMilliseconds: z.number().min(0).default(0).describe('How long one training step takes.'),
  sampleMilliseconds: z.number().min(0).default(0).describe('How long one generated sample takes.'),
  startMilliseconds: z.number().min(0).default(0).describe('How long it takes until it serves.'),
  crashAtStep: z.number().int().min(1).optional().describe('Kills itself with SIGKILL after this training step.'),
  crashAtSample: z.number().int().min(1).optional().describe('Kills itself after so many samples of one process.'),
  crashes: z.number().int().min(1).default(1).describe('How often it crashes; then it behaves.'),
  hangAtStep: z.number().int().min(1).optional().describe('Stops at this step and heeds no cancellation.'),
  failAtStep: z.number().int().min(1).optional().describe('Reports training_failed (out_of_memory) at this step.'),
  diverges: z.boolean().default(false).describe('Gives another loss each time that a step runs.'),
  handshake: z.string().optional().describe('Printed instead of the handshake line.'),
  exitCode: z.number().int().optional().describe('Exits with this code at once.'),
  wordsPerSample: z.number().int().min(1).default(24).describe('About how many words it thinks where it may.'),
});

export type Misbehavior = z.output<typeof misbehaviorSchema>;
