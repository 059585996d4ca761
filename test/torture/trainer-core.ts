/**
 * A core with the torch trainer, to be killed: starts or takes up a run in a home and writes each event that a sink got,
 * one a line, on stdout. `node trainer-core.js HOME [RUN_ID]`, with the trainer's Python in SIMMER_PYTHON.
 */
import { writeSync } from 'node:fs';
import { RunHarness } from 'simmerkit/testing';

/** A training of a tiny model that lasts long enough for many cores. */
export const coreRecipe = (steps: number) => `
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

async function main(home: string, runId: string | undefined): Promise<void> {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true, home, resources: { cpus: 4 } });
  const sinks = [{ onEvent: (event: unknown) => void writeSync(1, `${JSON.stringify(event)}\n`) }];
  const recipe = coreRecipe(Number(process.env.SIMMER_CORE_STEPS));
  const handle =
    runId === undefined ? await harness.start(recipe, { sinks }) : await harness.manager.resume(runId, { sinks });
  await handle.finished;
}

const [home, runId] = process.argv.slice(2);
if (home !== undefined && process.argv[1]?.endsWith('trainer-core.js')) await main(home, runId);
