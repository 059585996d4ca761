/** What the trainer contract means in the core's own terms. Wire types stop at the adapter; see proto/simmer/trainer/v1. */

export type Precision = 'float32' | 'bfloat16';

export type ModelSource =
  | { readonly kind: 'folder'; readonly folder: string; readonly adapterFolder?: string }
  | { readonly kind: 'gguf'; readonly file: string }
  | {
      readonly kind: 'random';
      readonly config: Readonly<Record<string, unknown>>;
      readonly tokenizerSource?: string;
      readonly seed: number;
    };

export type Capability = 'train' | 'checkpoint' | 'inspect' | 'generate' | 'export' | 'deterministicResume';

export interface TrainerDescription {
  readonly name: string;
  readonly version: string;
  readonly capabilities: ReadonlySet<Capability>;
  readonly versions: Readonly<Record<string, string>>;
  readonly devices: readonly {
    readonly name: string;
    readonly model: string;
    readonly memoryBytes?: number;
    readonly supportsBfloat16: boolean;
  }[];
  readonly processId: number;
}

/** The field's names and units; see the message of the same name in trainer.proto for each. */
export interface Hyperparameters {
  readonly method: 'full' | 'lora' | 'qlora';
  readonly lora?: {
    readonly rank: number;
    readonly alpha: number;
    readonly dropout: number;
    readonly targetModules: readonly string[];
  };
  readonly learningRate: number;
  readonly epochs: number;
  readonly maxSteps?: number;
  readonly globalBatchSize: number;
  readonly deviceBatchSize?: number;
  readonly warmupRatio: number;
  readonly schedule: 'cosine' | 'linear' | 'constant';
  readonly adamBeta1: number;
  readonly adamBeta2: number;
  readonly adamEpsilon: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
  readonly precision?: Precision;
  readonly maxSequenceLength: number;
  /** Training is refused where a larger share of the rows is cut, 0 to 1. */
  readonly maxTruncatedShare: number;
  readonly packing: boolean;
  readonly gradientCheckpointing: boolean;
  readonly seed: number;
  readonly checkpointEverySteps: number;
  readonly checkpointsKept: number;
  readonly logEverySteps: number;
  readonly evaluateEverySteps: number;
  readonly padToken?: string;
  /** Training ends after so many evaluations in a row that were not better; 0: never. */
  readonly earlyStoppingPatience?: number;
  /** Nats by which a loss must be below the best one to count as better. */
  readonly earlyStoppingMinImprovement?: number;
  /** The final model has the weights of the best evaluation. */
  readonly keepBest?: boolean;
  readonly checkpointEverySeconds?: number;
  readonly checkpointKeptEverySteps?: number;
  /** Training ends where the loss rises by so many nats above its lowest. Absent: never. */
  readonly maxLossRise?: number;
}

export interface TrainingRequest {
  readonly model: ModelSource;
  /** Parquet with columns `prompt` and `completion` (text, or lists of messages), and `tools`; see StartTrainingRequest. */
  readonly trainingData: string;
  readonly evaluationData?: string;
  readonly hyperparameters: Hyperparameters;
  /** What the backend adds; checked by the trainer's own schema. */
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface TrainingResult {
  /** The Hugging Face folder with the final model, on the store's file system; the caller commits it. */
  readonly modelFolder: string;
  readonly steps: number;
  readonly finalLoss: number | null;
  /** Whether early stopping ended it. */
  readonly stoppedEarly?: boolean;
  /** The step whose weights the model has, where it is not the last one. */
  readonly bestStep?: number;
  /** The last loss of these weights on the evaluation data, in nats. */
  readonly evaluationLoss?: number;
}

export interface Prompt {
  readonly id: string;
  readonly prompt:
    | { readonly kind: 'messages'; readonly messages: readonly { readonly role: string; readonly content: string }[] }
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'tokens'; readonly tokenIds: readonly number[] };
  /** Which of its samples are asked for, from 0. @default all */
  readonly sampleIndices?: readonly number[];
}

/** What marks thinking in a model's text. */
export interface ThinkingFormat {
  readonly start: string;
  readonly end: string;
  readonly finalAnswerPrompt: string;
}

/** A thinking budget. Absent limits are no limits. */
export interface ThinkingPolicy {
  readonly id: string;
  readonly maxThinkingTokens?: number;
  readonly minThinkingTokens?: number;
  readonly ignoreEndCount: number;
  readonly word: string;
  readonly spendingRule: 'total' | 'perRound';
}

export interface GenerationRequest {
  readonly model: ModelSource;
  /** Any number; the client splits them into requests. */
  readonly prompts: readonly Prompt[];
  readonly sampling: {
    readonly temperature: number;
    readonly topP?: number;
    readonly topK?: number;
    readonly maxAnswerTokens: number;
    readonly stop: readonly string[];
    readonly seed: number;
    readonly samples: number;
  };
  readonly thinkingFormat?: ThinkingFormat;
  readonly policies: readonly ThinkingPolicy[];
  readonly maxBatchSize?: number;
  readonly precision?: Precision;
}

export interface Intervention {
  readonly kind: 'extended' | 'ended';
  readonly position: number;
  readonly tokenIds: readonly number[];
  readonly text: string;
  /** Where it stands in `thinking`, in Unicode code points. */
  readonly characterOffset: number;
}

export interface Sample {
  readonly promptId: string;
  readonly policyId: string;
  readonly sampleIndex: number;
  readonly seed: bigint;
  readonly promptTokens: number;
  readonly thinkingTokenIds: readonly number[];
  readonly thinking: string;
  readonly answerTokenIds: readonly number[];
  readonly answer: string;
  readonly interventions: readonly Intervention[];
  readonly thinkingEnd: 'none' | 'natural' | 'forced' | 'sequence';
  readonly finishReason: 'stop' | 'length' | 'stopString';
  readonly sharedThinkingTokens: number;
}

export type GenerationEvent =
  | { readonly kind: 'sample'; readonly sample: Sample }
  | {
      readonly kind: 'progress';
      readonly samplesCompleted: number;
      readonly samplesTotal: number;
      readonly tokensDecoded: number;
      readonly tokensPerSecond: number;
    };

export type FileFormat = 'huggingFace' | 'gguf';

export interface ExportRequest {
  readonly model: ModelSource;
  /** An existing, empty folder. */
  readonly outputFolder: string;
  readonly precision?: Precision;
  /** Default: huggingFace. gguf is one file, `model.gguf`. */
  readonly format?: FileFormat;
}

export interface ExportResult {
  readonly files: readonly string[];
  readonly parameters: number;
  readonly architecture: string;
  readonly contextLength: number;
}

export interface InspectedRow {
  readonly row: number;
  readonly tokenIds: readonly number[];
  readonly tokens: readonly string[];
  readonly trained: readonly boolean[];
  readonly truncated: boolean;
}

/**
 * A trainer as a stage sees it: supervised, restarted a bounded number of times, its events already in the run's log.
 * Calls of one trainer run one after the other.
 */
export interface Trainer {
  readonly name: string;
  describe(): Promise<TrainerDescription>;
  /**
   * Trains to the end: attaches to an attempt that a former core left running, or resumes from the newest checkpoint of
   * the stage, or starts anew. Training events go to the run's log as they come.
   * @throws UserError `training_failed`, `trainer_exited` (after the last restart), or the signal's reason
   */
  train(request: TrainingRequest): Promise<TrainingResult>;
  /** Pull-based: what is not pulled is not generated. After a restart of the trainer, prompts not yet finished run again. */
  generate(request: GenerationRequest): AsyncIterable<GenerationEvent>;
  export(request: ExportRequest): Promise<ExportResult>;
  inspect(request: TrainingRequest, rows: readonly number[]): Promise<readonly InspectedRow[]>;
}

/** An answer to be graded. */
export interface GradeItem {
  readonly id: string;
  /** Empty where nobody knows a right answer: only a grader with `needsGold: false` grades without one. */
  readonly gold: string;
  readonly answer: string;
  /** As the model was asked, before its chat template; of a chat its last message. Absent: not known. */
  readonly question?: string;
}

export interface Grade {
  readonly id: string;
  readonly verdict: 'right' | 'wrong' | 'unparsed' | 'timedOut';
  readonly parsedAnswer: string;
  readonly parsedGold: string;
  readonly explanation: string;
}

/** A grade as a grader's plugin gives it: what it does not say of how it read them is empty text. */
export type GivenGrade = Pick<Grade, 'id' | 'verdict'> & Partial<Grade>;

/** Grades answers, in the order asked. One bad item never fails the others. */
export interface Grader {
  /** Whether it can only grade items that have a `gold`. @default true */
  readonly needsGold?: boolean;
  grade(items: readonly GradeItem[], signal?: AbortSignal): Promise<readonly Grade[]>;
}
