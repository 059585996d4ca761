/** A core with the torch trainer, to be killed, as `runCore` runs it, with the trainer's Python in SIMMER_PYTHON. */
import { runCore } from '../integration/core-process.js';

/** A training of a tiny model that lasts long enough for many cores. */
const recipe = (steps: number) => `
name: cores
trainers:
  student:
    uses: torch-trainer/torch
    with: { python: "${process.env.SIMMER_PYTHON}", device: cpu, threads: 1 }
    resources: { cpus: 1 }
stages:
  base:
    uses: torch-trainer/base-model
    with:
      trainer: student
      source:
        random:
          seed: 3
          config: { model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4,
                    num_key_value_heads: 2, max_position_embeddings: 512, attention_dropout: 0.1 }
  problems: { uses: curation/generate-problems, with: { count: 40 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.problems.dataset }}" } }
  tuned:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.formatted.dataset }}"
      maxSteps: ${steps}
      globalBatchSize: 2
      deviceBatchSize: 2
      precision: float32
      maxSequenceLength: 512
      maxTruncatedShare: 1
      checkpointEverySteps: 50
`;

await runCore(import.meta, () => ({
  recipe: recipe(Number(process.env.SIMMER_CORE_STEPS)),
  plugins: [],
  withBuiltIn: true,
  resources: { cpus: 4 },
}));
