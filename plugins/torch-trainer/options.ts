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

export type TorchTrainerOptions = z.output<typeof torchTrainerOptions>;
