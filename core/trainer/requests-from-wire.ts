import {
  ExportFormat,
  type Hyperparameters as HyperparametersMessage,
  LearningRateSchedule,
  Method,
  Precision as PrecisionCode,
} from '../generated/simmer/trainer/v1/trainer.js';
import { present } from '../present.js';
import type { FileFormat, Hyperparameters, Precision } from './trainer.js';

/** Where Train is asked for by somebody else than a stage of this process. The inverse of `toHyperparametersMessage`. */
export function toHyperparameters(from: HyperparametersMessage): Hyperparameters {
  const { method, schedule, precision, seed, maxTruncatedShare = 1, logEverySteps, ...rest } = from;
  return {
    ...present({ ...rest, precision: toPrecision(precision) }),
    method: method === Method.METHOD_LORA ? 'lora' : method === Method.METHOD_QLORA ? 'qlora' : 'full',
    schedule: toSchedule(schedule),
    seed: Number(seed),
    maxTruncatedShare,
    logEverySteps: Math.max(1, logEverySteps),
  };
}

export function toPrecision(code: PrecisionCode): Precision | undefined {
  switch (code) {
    case PrecisionCode.PRECISION_FLOAT32:
      return 'float32';
    case PrecisionCode.PRECISION_BFLOAT16:
      return 'bfloat16';
    default:
      return undefined;
  }
}

export function toExportFormat(code: ExportFormat): FileFormat {
  return code === ExportFormat.EXPORT_FORMAT_GGUF ? 'gguf' : 'huggingFace';
}

function toSchedule(code: LearningRateSchedule): Hyperparameters['schedule'] {
  switch (code) {
    case LearningRateSchedule.LEARNING_RATE_SCHEDULE_LINEAR:
      return 'linear';
    case LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT:
      return 'constant';
    default:
      return 'cosine';
  }
}
