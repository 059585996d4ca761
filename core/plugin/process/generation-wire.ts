import { UserError } from '../../errors.js';
import type { GenerateRequest, GenerateResponse } from '../../generated/simmer/plugin/v1/host.js';
import type {
  Prompt as PromptMessage,
  Sample as SampleMessage,
  ThinkingPolicy as ThinkingPolicyMessage,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { present } from '../../present.js';
import type {
  GenerationEvent,
  GenerationRequest,
  ModelSource,
  Prompt,
  Sample,
  ThinkingPolicy,
} from '../../trainer/trainer.js';
import { finishReasons, interventionKinds, precisions, spendingRules, thinkingEnds } from '../../trainer/wire-enums.js';

/** What a plugin asks of a trainer. @throws UserError `request_invalid` */
export function toGenerationRequest(from: GenerateRequest, model: ModelSource): GenerationRequest {
  const { sampling, thinkingFormat, maxBatchSize } = from;
  if (sampling === undefined) throw invalid('Generate needs `sampling`.');
  const precision = precisions.name(from.precision);
  if (sampling.maxAnswerTokens < 1) throw invalid('Generate needs `sampling.max_answer_tokens` of at least 1.');
  if (new Set(from.prompts.map(({ id }) => id)).size < from.prompts.length) {
    throw invalid('Generate was given two prompts with the same id.');
  }
  return {
    model,
    prompts: from.prompts.map(toPrompt),
    sampling: {
      temperature: sampling.temperature,
      ...(sampling.topP === undefined ? {} : { topP: sampling.topP }),
      ...(sampling.topK === undefined ? {} : { topK: sampling.topK }),
      maxAnswerTokens: sampling.maxAnswerTokens,
      stop: sampling.stop,
      seed: Number(sampling.seed),
      samples: Math.max(1, sampling.samples),
    },
    ...(thinkingFormat === undefined ? {} : { thinkingFormat }),
    policies: from.policies.map(toPolicy),
    ...present({ maxBatchSize, precision }),
  };
}

export function fromGenerationEvent(event: GenerationEvent): GenerateResponse {
  if (event.kind === 'sample') return { response: { $case: 'sample', value: fromSample(event.sample) } };
  const { samplesCompleted, samplesTotal, tokensDecoded, tokensPerSecond } = event;
  const value = {
    samplesCompleted,
    samplesTotal,
    tokensDecoded: BigInt(tokensDecoded),
    tokensPerSecond,
    peakMemoryBytes: 0n,
  };
  return { response: { $case: 'progress', value } };
}

function toPrompt({ id, prompt }: PromptMessage): Prompt {
  switch (prompt?.$case) {
    case 'messages':
      return { id, prompt: { kind: 'messages', messages: prompt.value.messages } };
    case 'text':
      return { id, prompt: { kind: 'text', text: prompt.value } };
    case 'tokenIds':
      return { id, prompt: { kind: 'tokens', tokenIds: prompt.value.ids } };
    case undefined:
      throw invalid(`Generate was given the prompt ${JSON.stringify(id)} without messages, text or token ids.`);
  }
}

function toPolicy({
  spendingRule,
  maxThinkingTokens,
  minThinkingTokens,
  ...policy
}: ThinkingPolicyMessage): ThinkingPolicy {
  return {
    ...policy,
    ...present({ maxThinkingTokens, minThinkingTokens }),
    spendingRule: spendingRules.name(spendingRule) ?? 'total',
  };
}

function fromSample(sample: Sample): SampleMessage {
  return {
    ...sample,
    thinkingTokenIds: [...sample.thinkingTokenIds],
    answerTokenIds: [...sample.answerTokenIds],
    interventions: sample.interventions.map(({ kind, tokenIds, ...intervention }) => ({
      ...intervention,
      tokenIds: [...tokenIds],
      kind: interventionKinds.code(kind),
    })),
    thinkingEnd: thinkingEnds.code(sample.thinkingEnd),
    finishReason: finishReasons.code(sample.finishReason),
  };
}

function invalid(message: string): UserError {
  return new UserError('request_invalid', message, { kind: 'runFailed' });
}
