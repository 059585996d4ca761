import type { EventData } from '../events/catalogue.js';
import { Verdict } from '../generated/simmer/grader/v1/grader.js';
import * as wire from '../generated/simmer/trainer/v1/trainer.js';
import { wireNames } from '../wire-names.js';
import type {
  Capability,
  FileFormat,
  Grade,
  Hyperparameters,
  Intervention,
  Precision,
  Sample,
  ThinkingPolicy,
} from './trainer.js';

/** A newer trainer may have more. */
export const capabilities = wireNames<Capability, wire.Capability>({
  train: wire.Capability.CAPABILITY_TRAIN,
  checkpoint: wire.Capability.CAPABILITY_CHECKPOINT,
  inspect: wire.Capability.CAPABILITY_INSPECT,
  generate: wire.Capability.CAPABILITY_GENERATE,
  export: wire.Capability.CAPABILITY_EXPORT,
  deterministicResume: wire.Capability.CAPABILITY_DETERMINISTIC_RESUME,
});

export const methods = wireNames<Hyperparameters['method'], wire.Method>({
  full: wire.Method.METHOD_FULL,
  lora: wire.Method.METHOD_LORA,
  qlora: wire.Method.METHOD_QLORA,
});

export const schedules = wireNames<Hyperparameters['schedule'], wire.LearningRateSchedule>({
  cosine: wire.LearningRateSchedule.LEARNING_RATE_SCHEDULE_COSINE,
  linear: wire.LearningRateSchedule.LEARNING_RATE_SCHEDULE_LINEAR,
  constant: wire.LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT,
});

export const precisions = wireNames<Precision, wire.Precision>({
  float32: wire.Precision.PRECISION_FLOAT32,
  bfloat16: wire.Precision.PRECISION_BFLOAT16,
});

export const fileFormats = wireNames<FileFormat, wire.ExportFormat>({
  huggingFace: wire.ExportFormat.EXPORT_FORMAT_HUGGING_FACE,
  gguf: wire.ExportFormat.EXPORT_FORMAT_GGUF,
});

export const logLevels = wireNames<EventData['log.written']['level'], wire.LogLevel>({
  debug: wire.LogLevel.LOG_LEVEL_DEBUG,
  info: wire.LogLevel.LOG_LEVEL_INFO,
  warning: wire.LogLevel.LOG_LEVEL_WARNING,
  error: wire.LogLevel.LOG_LEVEL_ERROR,
});

export const spendingRules = wireNames<ThinkingPolicy['spendingRule'], wire.SpendingRule>({
  total: wire.SpendingRule.SPENDING_RULE_TOTAL,
  perRound: wire.SpendingRule.SPENDING_RULE_PER_ROUND,
});

export const interventionKinds = wireNames<Intervention['kind'], wire.InterventionKind>({
  extended: wire.InterventionKind.INTERVENTION_KIND_EXTENDED,
  ended: wire.InterventionKind.INTERVENTION_KIND_ENDED,
});

export const thinkingEnds = wireNames<Sample['thinkingEnd'], wire.ThinkingEnd>({
  none: wire.ThinkingEnd.THINKING_END_UNSPECIFIED,
  natural: wire.ThinkingEnd.THINKING_END_NATURAL,
  forced: wire.ThinkingEnd.THINKING_END_FORCED,
  sequence: wire.ThinkingEnd.THINKING_END_SEQUENCE,
});

export const finishReasons = wireNames<Sample['finishReason'], wire.FinishReason>({
  stop: wire.FinishReason.FINISH_REASON_STOP,
  length: wire.FinishReason.FINISH_REASON_LENGTH,
  stopString: wire.FinishReason.FINISH_REASON_STOP_STRING,
});

/** Of `simmer.grader.v1`. */
export const verdicts = wireNames<Grade['verdict'], Verdict>({
  right: Verdict.VERDICT_RIGHT,
  wrong: Verdict.VERDICT_WRONG,
  timedOut: Verdict.VERDICT_TIMED_OUT,
  unparsed: Verdict.VERDICT_UNPARSED,
});
