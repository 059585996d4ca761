import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExportRequest } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { memoryArtifact, runStage } from '../../core/testing/run-stage.js';
import { trainerThat } from '../../test/stub-trainer.js';
import { gguf } from './gguf.stage.js';

function exporting(file: string) {
  const requests: ExportRequest[] = [];
  const trainer = trainerThat({
    export: async (request) => {
      requests.push(request);
      await writeFile(join(request.outputFolder, file), 'GGUF');
      return { files: [file], parameters: 7, architecture: 'LlamaForCausalLM', contextLength: 8 };
    },
  });
  return { trainer, requests };
}

const inputs = { model: memoryArtifact('model', '/models/tuned') };

describe('torch-trainer/gguf', () => {
  it('has the trainer write one file, and names it as it is asked to', async () => {
    const { trainer, requests } = exporting('model.gguf');
    const options = { trainer: 'student', fileName: 'tuned-bf16.gguf' };
    const { outputs } = await runStage(gguf, { options, inputs, trainer });
    expect(requests).toMatchObject([
      { model: { kind: 'folder', folder: '/models/tuned' }, precision: 'bfloat16', format: 'gguf' },
    ]);
    expect(outputs.model?.metadata).toMatchObject({ format: 'gguf', source: inputs.model.uri, parameters: 7 });
  });

  it('says so where the trainer knows no such format', async () => {
    const { trainer } = exporting('model.safetensors');
    const run = runStage(gguf, { options: { trainer: 'student' }, inputs, trainer });
    await expect(run).rejects.toMatchObject({ code: 'format_unsupported' });
  });
});
