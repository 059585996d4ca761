import { UserError } from '../../errors.js';
import type { EstimateJobRequest } from '../../generated/simmer/plugin/v1/host.js';
import type {
  Advice as AdviceMessage,
  CheckStageResponse,
  GradingEstimate as GradingEstimateMessage,
  InputFacts,
  ResourcesNeeded,
  StageEstimate as StageEstimateMessage,
  WorkEstimate as WorkEstimateMessage,
} from '../../generated/simmer/plugin/v1/planning.js';
import { present } from '../../present.js';
import { toHyperparameters } from '../../trainer/requests-from-wire.js';
import { precisions } from '../../trainer/wire-enums.js';
import type { OptionProblem } from '../definitions.js';
import type {
  Advice,
  Facts,
  PaidEstimate,
  StageEstimate,
  StageEstimateContext,
  TrainerJob,
  WorkEstimate,
} from '../estimate.js';
import type { Resources } from '../resources.js';
import { brokeContract } from './broke-contract.js';
import { plainJson } from './wire.js';

/** @throws UserError `plugin_broke_contract` */
export function toOptionProblems({ problems }: CheckStageResponse): readonly OptionProblem[] {
  return problems.map(({ path, code, message, hint }) => {
    if (!/^[a-z][a-z0-9_]*$/.test(code)) {
      throw brokeContract(`told a problem whose code is ${JSON.stringify(code)}, not snake_case`);
    }
    if (message.trim() === '') throw brokeContract(`told a problem "${code}" without a message`);
    return { path, code, message, ...(hint === undefined ? {} : { hint }) };
  });
}

/** Of nothing: nothing is needed. */
export function toResources({ cpus, memoryBytes, gpus, nodes, hardware }: Partial<ResourcesNeeded> = {}): Resources {
  const bytes = memoryBytes === undefined ? undefined : Number(memoryBytes);
  return present({ cpus, memoryBytes: bytes, gpus, nodes, hardware });
}

export function fromInputFacts(inputs: StageEstimateContext['inputs']): { [key: string]: InputFacts } {
  return Object.fromEntries(
    Object.entries(inputs).flatMap(([name, facts]) =>
      facts === undefined ? [] : [[name, { facts: [facts].flat().map(plainJson) }]],
    ),
  );
}

/** @param outputs that the stage declares @throws UserError `plugin_broke_contract` */
export function toStageEstimate(message: StageEstimateMessage, outputs: readonly string[]): StageEstimate {
  const stranger = Object.keys(message.outputs).find((name) => !outputs.includes(name));
  if (stranger !== undefined) throw brokeContract(`estimated the output "${stranger}", which it does not declare`);
  return {
    ...toPaidEstimate(message),
    outputs: Object.fromEntries(
      Object.entries(message.outputs).map(([name, facts]) => [name, (facts ?? {}) as Facts] as const),
    ),
  };
}

/** @throws UserError `plugin_broke_contract` */
export function toPaidEstimate({ work, usd }: GradingEstimateMessage): PaidEstimate {
  return {
    ...(work === undefined ? {} : toWorkEstimate(work)),
    ...(usd === undefined ? {} : { usd: figure('usd', usd) }),
  };
}

/** @throws UserError `plugin_broke_contract` */
export function toWorkEstimate(message: WorkEstimateMessage): WorkEstimate {
  const { seconds, time, isAtMost, memory, advice, figures, notes } = message;
  return {
    ...(seconds === undefined ? {} : { seconds: figure('seconds', seconds) }),
    ...(time.length === 0 ? {} : { time: time.map(({ part, seconds }) => ({ part, seconds: figure(part, seconds) })) }),
    ...(isAtMost ? { isAtMost } : {}),
    ...(memory.length === 0 ? {} : { memory: memory.map(({ part, bytes }) => ({ part, bytes: figure(part, bytes) })) }),
    ...(advice.length === 0 ? {} : { advice: advice.map(toAdvice) }),
    ...(Object.keys(figures).length === 0
      ? {}
      : { figures: Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, figure(name, value)])) }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

function toAdvice({ change, bytes, memoryBytes }: AdviceMessage): Advice {
  return {
    change,
    bytes: figure(change, bytes),
    ...(memoryBytes === undefined ? {} : { memoryBytes: figure(change, memoryBytes) }),
  };
}

export function fromWorkEstimate(estimate: WorkEstimate): WorkEstimateMessage {
  const { seconds, time = [], isAtMost = false, memory = [], advice = [], figures = {}, notes = [] } = estimate;
  return {
    seconds,
    time: [...time],
    isAtMost,
    memory: [...memory],
    advice: advice.map(({ change, bytes, memoryBytes }) => ({ change, bytes, memoryBytes })),
    figures: { ...figures },
    notes: [...notes],
  };
}

export function fromPaidEstimate({ usd, ...work }: PaidEstimate): GradingEstimateMessage {
  return { work: fromWorkEstimate(work), usd };
}

/** @throws UserError `request_invalid` */
export function toTrainerJob(job: EstimateJobRequest['job']): TrainerJob {
  switch (job?.$case) {
    case 'training': {
      const { model, data, evaluation, hyperparameters, extensions } = job.value;
      if (hyperparameters === undefined) throw new UserError('request_invalid', 'A training needs `hyperparameters`.');
      const facts = { model: model ?? {}, data: data ?? {}, hyperparameters: toHyperparameters(hyperparameters) };
      return { kind: 'training', ...facts, ...present({ evaluation, extensions }) };
    }
    case 'generation': {
      const { model, prompts, tokensPerPrompt, longestSequence, batchSize } = job.value;
      return {
        kind: 'generation',
        model: model ?? {},
        prompts: prompts === undefined ? undefined : Number(prompts),
        tokensPerPrompt: Number(tokensPerPrompt),
        longestSequence: Number(longestSequence),
        ...present({ batchSize, precision: precisions.name(job.value.precision) }),
      };
    }
    case undefined:
      throw new UserError('request_invalid', 'EstimateJob needs a `job`.');
  }
}

function figure(what: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw brokeContract(`estimated ${what} as ${value}; a figure is finite, and 0 or more`);
}
