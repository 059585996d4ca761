import {
  ExportFormat,
  type Hyperparameters as HyperparametersMessage,
  LearningRateSchedule,
  Method,
  Precision as PrecisionCode,
} from '../generated/simmer/trainer/v1/trainer.js';
import type { FileFormat, Hyperparameters, Precision } from './trainer.js';

/** Where Train is asked for by somebody else than a stage of this process. The inverse of `toHyperparametersMessage`. */
export function toHyperparameters(from: HyperparametersMessage): Hyperparameters {
  const { method, schedule, precision, seed, maxTruncatedShare = 1, logEverySteps, ...rest } = from;
  const known = toPrecision(precision);
  return {
    ...withoutUnset(rest),
    method: method === Method.METHOD_LORA ? 'lora' : method === Method.METHOD_QLORA ? 'qlora' : 'full',
    schedule: toSchedule(schedule),
    ...(known === undefined ? {} : { precision: known }),
    seed: Number(seed),
    maxTruncatedShare,
    logEverySteps: Math.max(1, logEverySteps),
  };
}

type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Fields that are unset on the wire are not there in the core's own terms. */
function withoutUnset<T extends object>(message: T): Given<T> {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as Given<T>;
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
