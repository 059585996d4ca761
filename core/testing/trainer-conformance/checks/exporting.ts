import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { ExportRequest } from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';

/** Models as folders. */
export const exportingChecks: readonly TrainerCheck[] = [
  {
    name: 'export',
    expects: 'Export to write a Hugging Face folder with the files that it lists, into an empty folder only',
    needs: ['export'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { model } = bench.options;
      const outputFolder = await bench.emptyFolder();
      const request = ExportRequest.fromPartial({ model, outputFolder });
      const answer = await trainer.call(trainer.client.export, request);
      const { files } = answer;
      const isModel = files.includes('config.json') && files.some((name) => name.endsWith('.safetensors'));
      demand(isModel, 'config.json and a safetensors file', files);
      for (const name of files) {
        const found = await stat(join(outputFolder, name)).catch(() => undefined);
        demand(found?.isFile() === true, `${name} to be there`, await readdir(outputFolder));
      }
      const isDescribed = answer.parameters > 0n && answer.architecture !== '' && answer.contextLength > 0;
      demand(isDescribed, 'its parameters, architecture and context length', answer);
      const refusal = await trainer.refusal(trainer.call(trainer.client.export, request));
      demandStatus(refusal, [status.INVALID_ARGUMENT], 'INVALID_ARGUMENT for a folder that has files');
    },
  },
];
