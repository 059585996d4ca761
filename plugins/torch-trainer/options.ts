import { placement, runsCode, z } from 'simmerkit';

export const torchTrainerOptions = z.strictObject({
  python: placement(
    runsCode(z.string())
      .optional()
      .describe('A Python that has torch, transformers, trl, peft and grpcio. Absent: Simmer makes an environment.'),
  ),
  device: placement(
    z.enum(['auto', 'cpu']).default('auto').describe('What to compute on; auto takes a GPU where there is one.'),
  ),
  threads: placement(z.number().int().min(1).optional().describe('Threads on the CPU. Absent: torch chooses.')),
  accelerateConfig: placement(
    runsCode(z.string())
      .optional()
      .describe(
        "A config file of accelerate (`accelerate config` writes one) for several ranks: FSDP2, or DeepSpeed where `python` has it. Absent: FSDP2, full shard. A path is relative to the recipe's folder.",
      ),
  ),
});

/** As EXTENSIONS_SCHEMA of `hyperparameters.py`, so that a recipe is refused before anything is paid for. */
export const torchExtensions = z.strictObject({
  groupByLength: z
    .boolean()
    .default(true)
    .describe(
      'Put rows of similar length into one batch: less padding, and batches that are less mixed. Off by default with ' +
        'packing, which needs no padding.',
    ),
  weights: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe(
      'Type of the weights while they are trained in precision bfloat16. float32 keeps small updates that bfloat16 rounds ' +
        'away; bfloat16 takes half the memory.',
    ),
  attention: z
    .enum(['auto', 'sdpa', 'eager', 'flash_attention_2', 'flash_attention_3'])
    .default('auto')
    .describe(
      'How attention is computed. auto: FlashAttention where it is installed and the device is a GPU, else SDPA, or ' +
        'eager where SDPA is not what the model computes; with packing, row by row.',
    ),
  kernels: z
    .enum(['auto', 'liger', 'torch'])
    .default('auto')
    .describe(
      "Who computes norms, rotations and the loss. auto: Liger's fused kernels on a GPU where liger-kernel is installed, " +
        'else PyTorch.',
    ),
});
