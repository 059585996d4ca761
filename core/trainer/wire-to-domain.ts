import type { EventData, EventDraft } from '../events/catalogue.js';
import type {
  DescribeResponse,
  Sample as SampleMessage,
  StepLogged,
  TrainerEvent,
  TrainingCompleted,
} from '../generated/simmer/trainer/v1/trainer.js';
import { present } from '../present.js';
import { inRecipeTerms } from './recipe-terms.js';
import type { Sample, TrainerDescription, TrainingResult } from './trainer.js';
import { capabilities, finishReasons, interventionKinds, logLevels, precisions, thinkingEnds } from './wire-enums.js';

export function toTrainerDescription(from: DescribeResponse): TrainerDescription {
  return {
    name: from.name,
    version: from.version,
    capabilities: new Set(from.capabilities.map(capabilities.name).filter((known) => known !== undefined)),
    versions: from.versions,
    devices: from.devices.map((device) => ({
      name: device.name,
      model: device.model,
      ...(device.memoryBytes === undefined ? {} : { memoryBytes: Number(device.memoryBytes) }),
      supportsBfloat16: device.supportsBfloat16,
    })),
    processId: from.processId,
  };
}

export function toSample(from: SampleMessage): Sample {
  return {
    promptId: from.promptId,
    policyId: from.policyId,
    sampleIndex: from.sampleIndex,
    seed: from.seed,
    promptTokens: from.promptTokens,
    thinkingTokenIds: from.thinkingTokenIds,
    thinking: from.thinking,
    answerTokenIds: from.answerTokenIds,
    answer: from.answer,
    interventions: from.interventions.map(({ kind, position, tokenIds, text, characterOffset }) => ({
      kind: interventionKinds.name(kind) ?? 'ended',
      position,
      tokenIds,
      text,
      characterOffset,
    })),
    thinkingEnd: thinkingEnds.name(from.thinkingEnd) ?? 'none',
    finishReason: finishReasons.name(from.finishReason) ?? 'length',
    sharedThinkingTokens: from.sharedThinkingTokens,
  };
}

/** How an attempt ended. */
export type TrainingEnd =
  | ({ readonly kind: 'completed' } & TrainingResult)
  | { readonly kind: 'canceled'; readonly reason: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly retryable: boolean };

/** What one event of a trainer means here. */
interface TranslatedEvent {
  readonly draft: EventDraft;
  readonly end?: TrainingEnd;
}

/** What is the same for all events of an attempt. */
interface TranslationContext {
  readonly stage: string;
  /** Ordinal of the stage's attempt in the run. */
  readonly attempt: number;
  readonly attemptId: string;
  readonly trainer: string;
  /** From `training_started`; 0 before it is known. */
  totalSteps: number;
}

/** An event of a trainer as one of the run's. Undefined for one that a newer trainer sends and this core does not know. */
export function toEvent(from: TrainerEvent, context: TranslationContext): TranslatedEvent | undefined {
  const number = Number(from.number);
  const place = { stage: context.stage, attempt: context.attempt };
  const { attemptId } = context;
  switch (from.event?.$case) {
    case 'trainingStarted': {
      const { value } = from.event;
      context.totalSteps = value.totalSteps;
      return {
        draft: {
          ...place,
          type: 'training.started',
          data: {
            trainerEvent: number,
            attemptId,
            resumedAfterStep: value.resumedAfterStep,
            totalSteps: value.totalSteps,
            rows: value.rows,
            tokens: Number(value.tokens),
            trainedTokens: Number(value.trainedTokens),
            truncatedRows: value.truncatedRows,
            parameters: Number(value.parameters),
            trainedParameters: Number(value.trainedParameters),
            precision: precisions.name(value.precision) ?? 'float32',
            ...present({
              attention: value.attention,
              kernels: value.kernels,
              rowsPerPass: value.rowsPerPass,
              tokensPerPass: value.tokensPerPass,
              passesPerStep: value.passesPerStep,
              peakFlopsPerSecond: value.peakFlopsPerSecond,
            }),
          },
        },
      };
    }
    case 'stepLogged':
      return { draft: stepDraft(from.event.value, number, context) };
    case 'evaluationLogged': {
      const { step, loss, best } = from.event.value;
      const data = { trainerEvent: number, step, loss, ...present({ best }) };
      return { draft: { ...place, type: 'evaluation.logged', data } };
    }
    case 'checkpointSaved': {
      const { step, path, bytes } = from.event.value;
      const data = { trainerEvent: number, step, path, bytes: Number(bytes) };
      return { draft: { ...place, type: 'checkpoint.saved', data } };
    }
    case 'logWritten':
      return {
        draft: {
          ...place,
          type: 'log.written',
          data: {
            level: logLevels.name(from.event.value.level) ?? 'info',
            source: `trainer ${context.trainer}`,
            message: inRecipeTerms(from.event.value.message),
            trainerEvent: number,
            attemptId,
          },
        },
      };
    case 'trainingCompleted': {
      const { value } = from.event;
      return {
        draft: { ...place, type: 'training.completed', data: completedData(value, number, attemptId) },
        end: {
          kind: 'completed',
          modelFolder: value.modelFolder,
          steps: value.steps,
          finalLoss: finiteOrNull(value.finalLoss),
          ...bestOf(value),
        },
      };
    }
    case 'trainingCanceled': {
      const { step, reason } = from.event.value;
      return {
        draft: { ...place, type: 'training.canceled', data: { trainerEvent: number, attemptId, step, reason } },
        end: { kind: 'canceled', reason },
      };
    }
    case 'trainingFailed': {
      const { code, step, retryable, rowIds, batchFile } = from.event.value;
      const message = inRecipeTerms(from.event.value.message);
      const text = rowIds.length === 0 ? message : `${message} (rows: ${rowIds.slice(0, 10).join(', ')})`;
      return {
        draft: {
          ...place,
          type: 'training.failed',
          data: {
            trainerEvent: number,
            attemptId,
            step,
            error: { code, message: text },
            ...(rowIds.length === 0 ? {} : { rowIds }),
            ...present({ batchFile }),
          },
        },
        end: { kind: 'failed', code, message: text, retryable },
      };
    }
    case undefined:
      return undefined;
  }
}

/** Most of what a trainer says: built without a copy, and frozen, so that the bus makes none either. */
function stepDraft(value: StepLogged, number: number, context: TranslationContext): EventDraft<'step.logged'> {
  const data: { -readonly [Key in keyof EventData['step.logged']]: EventData['step.logged'][Key] } = {
    trainerEvent: number,
    step: value.step,
    totalSteps: context.totalSteps,
    epoch: value.epoch,
    loss: finiteOrNull(value.loss),
    learningRate: value.learningRate,
    gradientNorm: finiteOrNull(value.gradientNorm),
    tokensSeen: Number(value.tokensSeen),
    tokensPerSecond: value.tokensPerSecond,
    peakMemoryBytes: Number(value.peakMemoryBytes),
    rerun: value.rerun,
    rowsSeen: Number(value.rowsSeen),
  };
  if (value.trainedTokensSeen !== undefined) data.trainedTokensSeen = Number(value.trainedTokensSeen);
  if (value.paddingTokens !== undefined) data.paddingTokens = Number(value.paddingTokens);
  if (value.modelFlopsUtilization !== undefined) data.modelFlopsUtilization = value.modelFlopsUtilization;
  return { stage: context.stage, attempt: context.attempt, type: 'step.logged', data: Object.freeze(data) };
}

function completedData(value: TrainingCompleted, number: number, attemptId: string) {
  return {
    trainerEvent: number,
    attemptId,
    steps: value.steps,
    seconds: value.seconds,
    finalLoss: finiteOrNull(value.finalLoss),
    peakMemoryBytes: Number(value.peakMemoryBytes),
    ...bestOf(value),
  };
}

function bestOf({ stoppedEarly, bestStep, evaluationLoss }: TrainingCompleted) {
  return present({ stoppedEarly, bestStep, evaluationLoss });
}

/** JSON has no NaN and no infinity. */
function finiteOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
