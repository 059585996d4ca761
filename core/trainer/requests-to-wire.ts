import {
  type GenerateRequest as GenerateMessage,
  type Hyperparameters as HyperparametersMessage,
  type ModelSource as ModelSourceMessage,
  Precision as PrecisionCode,
  type Prompt as PromptMessage,
  type ThinkingPolicy as ThinkingPolicyMessage,
} from '../generated/simmer/trainer/v1/trainer.js';
import type { GenerationRequest, Hyperparameters, ModelSource, Precision, Prompt, ThinkingPolicy } from './trainer.js';
import { methods, precisions, schedules, spendingRules } from './wire-enums.js';

export function toPrecisionMessage(precision: Precision | undefined): PrecisionCode {
  return precision === undefined ? PrecisionCode.PRECISION_UNSPECIFIED : precisions.code(precision);
}

export function toModelSourceMessage(model: ModelSource): ModelSourceMessage {
  switch (model.kind) {
    case 'folder':
      return { source: { $case: 'folder', value: model.folder }, adapterFolder: model.adapterFolder };
    case 'gguf':
      return { source: { $case: 'ggufFile', value: model.file } };
    case 'random':
      return {
        source: {
          $case: 'random',
          value: { config: { ...model.config }, tokenizerSource: model.tokenizerSource, seed: BigInt(model.seed) },
        },
      };
  }
}

export function toHyperparametersMessage(from: Hyperparameters): HyperparametersMessage {
  return {
    method: methods.code(from.method),
    lora: from.lora === undefined ? undefined : { ...from.lora, targetModules: [...from.lora.targetModules] },
    learningRate: from.learningRate,
    epochs: from.epochs,
    maxSteps: from.maxSteps,
    globalBatchSize: from.globalBatchSize,
    deviceBatchSize: from.deviceBatchSize,
    warmupRatio: from.warmupRatio,
    schedule: schedules.code(from.schedule),
    adamBeta1: from.adamBeta1,
    adamBeta2: from.adamBeta2,
    adamEpsilon: from.adamEpsilon,
    weightDecay: from.weightDecay,
    maxGradientNorm: from.maxGradientNorm,
    precision: toPrecisionMessage(from.precision),
    maxSequenceLength: from.maxSequenceLength,
    maxTruncatedShare: from.maxTruncatedShare,
    packing: from.packing,
    gradientCheckpointing: from.gradientCheckpointing,
    seed: BigInt(from.seed),
    checkpointEverySteps: from.checkpointEverySteps,
    checkpointsKept: from.checkpointsKept,
    logEverySteps: from.logEverySteps,
    evaluateEverySteps: from.evaluateEverySteps,
    padToken: from.padToken,
    earlyStoppingPatience: from.earlyStoppingPatience ?? 0,
    earlyStoppingMinImprovement: from.earlyStoppingMinImprovement ?? 0,
    keepBest: from.keepBest ?? false,
    checkpointEverySeconds: from.checkpointEverySeconds ?? 0,
    checkpointKeptEverySteps: from.checkpointKeptEverySteps ?? 0,
    maxLossRise: from.maxLossRise,
  };
}

export function toGenerateMessage(from: GenerationRequest, prompts: readonly Prompt[]): GenerateMessage {
  return {
    model: toModelSourceMessage(from.model),
    prompts: prompts.map(toPromptMessage),
    sampling: { ...from.sampling, stop: [...from.sampling.stop], seed: BigInt(from.sampling.seed) },
    thinkingFormat: from.thinkingFormat,
    policies: from.policies.map(toPolicyMessage),
    maxBatchSize: from.maxBatchSize,
    precision: toPrecisionMessage(from.precision),
    streamTokens: false,
  };
}

function toPromptMessage({ id, prompt, sampleIndices = [] }: Prompt): PromptMessage {
  return { id, prompt: toContentMessage(prompt), sampleIndices: [...sampleIndices] };
}

function toContentMessage(prompt: Prompt['prompt']): PromptMessage['prompt'] {
  switch (prompt.kind) {
    case 'messages':
      return { $case: 'messages', value: { messages: [...prompt.messages] } };
    case 'text':
      return { $case: 'text', value: prompt.text };
    case 'tokens':
      return { $case: 'tokenIds', value: { ids: [...prompt.tokenIds] } };
  }
}

function toPolicyMessage(policy: ThinkingPolicy): ThinkingPolicyMessage {
  return { ...policy, spendingRule: spendingRules.code(policy.spendingRule) };
}
