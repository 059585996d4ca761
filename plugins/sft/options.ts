import { placement, trainerExtensions, trainerName, z } from 'simmerkit';

const share = z.number().min(0).max(1);
const positive = z.int().min(1);

/** Every default is s1's (appendix D of the paper), where it says. */
export const trainOptions = z.strictObject({
  trainer: trainerName(),
  method: z
    .enum(['full', 'lora', 'qlora'])
    .default('full')
    .describe(
      'full: every weight is trained. lora: an adapter is, and is merged into the model at the end. qlora: an adapter ' +
        'over weights in 4 bits, which need about a quarter of the memory; wants bitsandbytes.',
    ),
  lora: z
    .strictObject({
      rank: positive.default(16).describe('Rank of the adapter.'),
      alpha: z.number().positive().default(32).describe('The adapter is scaled by alpha / rank.'),
      dropout: share.default(0).describe("Dropout before the adapter's first matrix."),
      targetModules: z.array(z.string()).default([]).describe('Names of modules to adapt. Empty: all linear ones.'),
    })
    .optional()
    .describe('For methods lora and qlora.'),
  learningRate: z.number().positive().default(1e-5).describe('Peak learning rate. s1: 1e-5.'),
  epochs: z.number().positive().default(5).describe('Passes over the data; not used where maxSteps is set. s1: 5.'),
  maxSteps: positive.optional().describe('Optimizer steps in all, instead of epochs.'),
  globalBatchSize: positive.default(16).describe('Sequences in one optimizer step, over all devices. s1: 16.'),
  deviceBatchSize: positive
    .optional()
    .describe('Sequences in one forward pass of one device; it changes rounding. Default: the trainer chooses.'),
  warmupRatio: share.default(0.05).describe('Share of all steps with linear warm-up. s1: 0.05.'),
  schedule: z
    .enum(['cosine', 'linear', 'constant'])
    .default('cosine')
    .describe('How the learning rate falls after it. s1: cosine, to 0.'),
  adamBeta1: share.default(0.9).describe("AdamW's first beta. s1: 0.9."),
  adamBeta2: share.default(0.95).describe("AdamW's second beta. s1: 0.95."),
  adamEpsilon: z.number().positive().default(1e-8).describe("AdamW's epsilon."),
  weightDecay: z.number().min(0).default(1e-4).describe('Decoupled weight decay. s1: 1e-4.'),
  maxGradientNorm: z.number().min(0).default(1).describe('Gradients are clipped to this norm; 0 is off.'),
  precision: z
    .enum(['float32', 'bfloat16'])
    .optional()
    .describe('Precision of the matrix products. Default: bfloat16 where the device is fast at it. s1: bfloat16.'),
  maxSequenceLength: positive
    .default(32_768)
    .describe('Longer rows are cut at their end, and lose the answer. s1: 32,768 (s1.1: 20,000).'),
  maxTruncatedShare: placement(
    share
      .default(0.05)
      .describe('Training is refused where more of the rows than this lose their end to maxSequenceLength.'),
  ),
  packing: z
    .boolean()
    .default(false)
    .describe(
      'Rows lie end to end in a forward pass instead of being padded, isolated from each other. A step has the same ' +
        'rows, and the same loss, either way.',
    ),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe('Computes activations again in the backward pass: less memory, about a third slower.'),
  padToken: z.string().min(1).optional().describe("Token used for padding. Default: the tokenizer's. s1: <|fim_pad|>."),
  evaluateEverySteps: z
    .int()
    .min(0)
    .default(0)
    .describe('Measures the loss on `evaluation` every so many steps; 0: never.'),
  earlyStoppingPatience: z
    .int()
    .min(0)
    .default(0)
    .describe('Training ends after so many evaluations in a row that were not better than the best; 0: never.'),
  earlyStoppingMinImprovement: z
    .number()
    .min(0)
    .default(0)
    .describe('By how many nats a token an evaluation must be below the best for earlyStoppingPatience to begin anew.'),
  keepBest: z
    .boolean()
    .default(false)
    .describe('The model gets the weights of the best evaluation instead of those of the last step.'),
  maxLossRise: placement(
    z
      .number()
      .min(0)
      .default(2)
      .describe(
        'Training ends (loss_diverged) where the mean loss of 8 steps is so many nats above the lowest one; 0: never.',
      ),
  ),
  extensions: trainerExtensions('trainer').optional(),
  checkpointEverySteps: placement(
    z.int().min(0).default(50).describe('A checkpoint every so many steps; 0: only when it is stopped.'),
  ),
  checkpointEverySeconds: placement(
    z.number().min(0).default(0).describe('A checkpoint also where so many seconds went by since the last; 0: not.'),
  ),
  checkpointsKept: placement(z.int().min(0).default(2).describe('How many checkpoints are kept, the newest; 0: all.')),
  checkpointKeptEverySteps: placement(
    z.int().min(0).default(0).describe('Checkpoints of multiples of so many steps are kept, too; 0: none.'),
  ),
  logEverySteps: placement(positive.default(1).describe('Loss and speed every so many steps.')),
});

export type TrainOptions = z.output<typeof trainOptions>;
