import { isAbsolute } from 'node:path';
import type { DescribeTrainerResponse, EstimateJobRequest } from '../../generated/simmer/plugin/v1/host.js';
import type {
  CalibrationRun as CalibrationRunMessage,
  PrepareTrainerResponse,
  TrainerPlace,
} from '../../generated/simmer/plugin/v1/trainer.js';
import { toHyperparametersMessage, toPrecisionMessage } from '../../trainer/requests-to-wire.js';
import type { TrainerDescription } from '../../trainer/trainer.js';
import { capabilities } from '../../trainer/wire-enums.js';
import type { TrainerCommand } from '../definitions.js';
import type { CalibrationRun, EstimatePlace, TrainerJob } from '../estimate.js';
import { brokeContract } from './broke-contract.js';
import { plainJson } from './wire.js';

/** @throws UserError `plugin_broke_contract` */
export function toTrainerCommand({ command }: PrepareTrainerResponse): TrainerCommand {
  const { argv = [], env = {}, cwd } = command ?? {};
  if (argv.length === 0) throw brokeContract('prepared a trainer without a command that starts it');
  if (cwd !== undefined && !isAbsolute(cwd)) throw brokeContract(`prepared a trainer in ${cwd}, which is not absolute`);
  return { argv, env, ...(cwd === undefined ? {} : { cwd }) };
}

export function toCalibration({ isFit, ...run }: CalibrationRunMessage): CalibrationRun {
  return { ...run, role: isFit ? 'fit' : 'held out' };
}

export function fromTrainerJob(job: TrainerJob): NonNullable<EstimateJobRequest['job']> {
  if (job.kind === 'training') {
    const { model, data, evaluation, hyperparameters, extensions } = job;
    const value = {
      model: plainJson(model),
      data: plainJson(data),
      ...(evaluation === undefined ? {} : { evaluation: plainJson(evaluation) }),
      hyperparameters: toHyperparametersMessage(hyperparameters),
      ...(extensions === undefined ? {} : { extensions: plainJson(extensions) }),
    };
    return { $case: 'training', value };
  }
  const { model, prompts, tokensPerPrompt, longestSequence, batchSize, precision } = job;
  return {
    $case: 'generation',
    value: {
      model: plainJson(model),
      prompts: prompts === undefined ? undefined : BigInt(Math.round(prompts)),
      tokensPerPrompt: BigInt(Math.round(tokensPerPrompt)),
      longestSequence: BigInt(Math.round(longestSequence)),
      batchSize,
      precision: toPrecisionMessage(precision),
    },
  };
}

export function fromEstimatePlace({ hardware, gpus, nodes }: EstimatePlace): TrainerPlace {
  return { gpus, nodes, ...(hardware === undefined ? {} : { hardware }) };
}

export function fromTrainerDescription(from: TrainerDescription): DescribeTrainerResponse {
  const { name, version, versions, devices } = from;
  return {
    name,
    version,
    versions: { ...versions },
    capabilities: [...from.capabilities].map(capabilities.code),
    devices: devices.map(({ memoryBytes, ...device }) => {
      return { ...device, memoryBytes: memoryBytes === undefined ? undefined : BigInt(memoryBytes) };
    }),
  };
}
