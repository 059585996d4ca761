import type { ErrorRecord } from '../errors.js';

/**
 * Every event that a run can record. A type is a past-tense `noun.verb`. Readers must ignore types and fields that they
 * do not know: the catalogue grows, it never changes what stands.
 *
 * Facts are never dropped and never delayed. Telemetry (`telemetryTypes`) is batched, complete in the log, and may be
 * thinned for a live reader that asks for it.
 */
export interface EventData {
  /** The run folder was made. Always sequence 1; `format` is the version of this log. */
  'run.created': {
    readonly format: 1;
    readonly simmerVersion: string;
    readonly recipe: string;
    readonly planDigest: string;
    readonly seed: number;
    /** Of a run that a client asked a server for. The server takes such runs up again when it is started. */
    readonly request?: {
      /** The client's own id: the same one again is the same run. */
      readonly id: string;
      /** SHA-256 of what was asked for, lower-case hex: the same id with something else is a mistake. */
      readonly digest: string;
    };
  };
  /** A core process took the run up: the first time, or by a resume. */
  'run.started': {
    readonly pid: number;
    readonly host: string;
    readonly resumed: boolean;
    /** What `--python` named, now or when the run was taken up before; absent: nothing. */
    readonly python?: string;
  };
  /** The last event of a run that succeeded. */
  'run.completed': {
    readonly runId: string;
    /** Absolute path of report.html. Null where the report could not be written (see `sink.failed`). */
    readonly reportPath: string | null;
    /** Every `metric.measured` of the run, the last of each name; as `STAGE/NAME` where several stages measured it. */
    readonly metrics: Readonly<Record<string, number>>;
    /** `stage.output` to artifact URI. */
    readonly outputs: Readonly<Record<string, string>>;
    readonly seconds: number;
  };
  'run.failed': { readonly error: ErrorRecord; readonly stage?: string };
  /** Ctrl-C, SIGTERM or a cancel: everything is kept, `simmer resume` goes on. */
  'run.interrupted': {
    readonly reason: string;
    /** Where a limit of the run's own stopped it and nobody asked for it: which, and how to go on. */
    readonly error?: ErrorRecord;
  };

  /** The run's limits from here on: said when it starts, and again where a resume changes them. Absent: no limit. */
  'budget.set': { readonly usd?: number; readonly gpuHours?: number; readonly wallClockSeconds?: number };
  /** Hardware that costs something is held from here on; said before it is taken. */
  'hardware.held': {
    /** "trainer NAME" or "stage NAME". */
    readonly holder: string;
    /** Name of its entry in the plan's `hardware`. */
    readonly hardware?: string;
    readonly gpus: number;
    readonly nodes: number;
    /** Of all of it together; 0 where it has no price. */
    readonly usdPerHour: number;
    /** How long it may be held on where the core is gone. */
    readonly unattendedSeconds: number;
  };
  'hardware.released': {
    readonly holder: string;
    /** How long its end took, where Simmer asked for it. */
    readonly stopSeconds?: number;
  };
  /**
   * The most that requests under way, or answered and not yet in `budget.spent`, cost from here on. After a kill so much
   * counts as spent.
   */
  'budget.reserved': { readonly usd: number };
  /** Something was spent since the last one of the same source. */
  'budget.spent': {
    /** "trainer NAME", "stage NAME", or what a stage asked: "deepseek-reasoner". */
    readonly source: string;
    readonly usd: number;
    readonly gpuHours: number;
    /** Of hardware: for how long it was held, and up to when (ISO 8601) it is counted now. */
    readonly seconds?: number;
    readonly until?: string;
    readonly inputTokens?: number;
    readonly outputTokens?: number;
    /** Counted afterwards, for a time without a core. */
    readonly unattended?: boolean;
    /** The whole run up to here, all attempts together. */
    readonly total: { readonly usd: number; readonly gpuHours: number; readonly wallClockSeconds: number };
  };

  /** The stage's inputs are known and so is its key; it runs now. */
  'stage.started': { readonly uses: string; readonly key: string };
  /** An earlier run made the same thing: no work was done. */
  'stage.reused': {
    readonly uses: string;
    readonly key: string;
    readonly outputs: Readonly<Record<string, string>>;
    /** Id of the run that made it; its log, where it is still there, tells how: the steps of a training, the times. */
    readonly madeBy?: string;
  };
  'stage.completed': {
    readonly uses: string;
    readonly key: string;
    /** Output name to artifact URI. */
    readonly outputs: Readonly<Record<string, string>>;
    readonly seconds: number;
    /** Largest resident memory of the core and the stage's trainers together, in bytes, while it ran. */
    readonly peakMemoryBytes: number;
  };
  'stage.failed': { readonly error: ErrorRecord };
  'stage.interrupted': { readonly reason: string };
  /** How far a stage is. Telemetry. */
  'stage.progressed': {
    readonly done: number;
    readonly total: number | null;
    /** What is counted: "rows", "steps", "samples", "bytes". */
    readonly unit: string;
    readonly secondsLeft?: number;
    /** Of `unit`, since this attempt began; what an earlier attempt did is in `done` and not in this. */
    readonly perSecond?: number;
    /** More figures worth seeing live, e.g. {"tokensPerSecond": 210, "outputTokens": 8100}. */
    readonly figures?: Readonly<Record<string, number>>;
  };

  /** A curation step kept some rows and dropped others: one bar of the funnel. */
  'funnel.counted': {
    readonly step: string;
    readonly rowsIn: number;
    readonly rowsOut: number;
    /** Rule to number of rows that it dropped: all of `rowsIn` that did not go on. A row that is repeated counts twice in `rowsOut`. */
    readonly dropped: Readonly<Record<string, number>>;
  };
  'artifact.committed': { readonly uri: string; readonly output: string; readonly bytes: number };
  /** A figure that the run proves. Measured again, the last one counts. */
  'metric.measured': {
    /** Unique in its stage, e.g. "tuned.accuracy@256". */
    readonly name: string;
    readonly value: number;
    /** Bounds of the 95% interval. */
    readonly interval?: readonly [number, number];
    /** How many items it was measured on. */
    readonly count?: number;
    readonly unit?: string;
    /** What one may want to group or plot by, e.g. {"model": "tuned", "maxThinkingTokens": 256}. */
    readonly labels?: Readonly<Record<string, string | number>>;
  };

  /** A Python or other environment is ready for a trainer or grader. */
  'environment.prepared': {
    readonly name: string;
    readonly path: string;
    readonly reused: boolean;
    readonly seconds: number;
    readonly versions: Readonly<Record<string, string>>;
  };
  /** A trainer process was started by a launcher. */
  'trainer.started': {
    readonly trainer: string;
    readonly pid: number;
    readonly address: string;
    /** Ordinal of the process in this run, from 1; above 1 it was restarted. */
    readonly start: number;
  };
  /** A core took up a trainer that a former core had started. */
  'trainer.attached': { readonly trainer: string; readonly pid: number; readonly address: string };
  'trainer.described': {
    readonly trainer: string;
    readonly version: string;
    readonly versions: Readonly<Record<string, string>>;
    readonly devices: readonly string[];
  };
  'trainer.exited': {
    readonly trainer: string;
    readonly pid: number;
    readonly exitCode: number | null;
    readonly signal: string | null;
    /** Whether Simmer asked for it. */
    readonly expected: boolean;
    /** The last lines of its stderr; empty where expected. */
    readonly lastLines: readonly string[];
  };

  /** From the trainer; `trainerEvent` is its own event number, by which a core goes on watching. */
  'training.started': {
    readonly trainerEvent: number;
    readonly attemptId: string;
    readonly resumedAfterStep: number;
    readonly totalSteps: number;
    readonly rows: number;
    readonly tokens: number;
    readonly trainedTokens: number;
    readonly truncatedRows: number;
    readonly parameters: number;
    readonly trainedParameters: number;
    readonly precision: string;
    /** What computes attention, e.g. "sdpa", and the rest: "torch" or "liger". */
    readonly attention?: string;
    readonly kernels?: string;
    /** The largest forward pass of a device. Absent with packing, where tokens decide. */
    readonly rowsPerPass?: number;
    /** Padding included. */
    readonly tokensPerPass?: number;
    /** Forward passes of a device in one optimizer step. */
    readonly passesPerStep?: number;
    /** What the devices of the job can do in this precision, by their vendor; absent where unknown. */
    readonly peakFlopsPerSecond?: number;
  };
  /** One optimizer step. Telemetry. */
  'step.logged': {
    readonly trainerEvent: number;
    readonly step: number;
    readonly totalSteps: number;
    readonly epoch: number;
    /** Nats a trained token; null where not finite. */
    readonly loss: number | null;
    readonly learningRate: number;
    readonly gradientNorm: number | null;
    readonly tokensSeen: number;
    readonly tokensPerSecond: number;
    readonly peakMemoryBytes: number;
    readonly rerun: boolean;
    /** Since the start of the job; so `tokensSeen`. */
    readonly rowsSeen?: number;
    readonly trainedTokensSeen?: number;
    /** Tokens that were computed and were padding. */
    readonly paddingTokens?: number;
    /** Share of the devices' peak that the model's own operations took, 0 to 1; absent where the peak is unknown. */
    readonly modelFlopsUtilization?: number;
  };
  'evaluation.logged': {
    readonly trainerEvent: number;
    readonly step: number;
    /** Nats a trained token. */
    readonly loss: number;
    /** Whether it is the lowest of the job so far. */
    readonly best?: boolean;
  };
  'checkpoint.saved': {
    readonly trainerEvent: number;
    readonly step: number;
    readonly path: string;
    readonly bytes: number;
  };
  'training.completed': {
    readonly trainerEvent: number;
    /** Which attempt it ends; so in the two below. */
    readonly attemptId?: string;
    readonly steps: number;
    readonly seconds: number;
    readonly finalLoss: number | null;
    readonly peakMemoryBytes: number;
    /** Whether early stopping ended it. */
    readonly stoppedEarly?: boolean;
    /** The step whose weights the model has, where it is not the last one. */
    readonly bestStep?: number;
    /** The last loss of these weights on the evaluation data, nats a trained token. */
    readonly evaluationLoss?: number;
  };
  'training.canceled': {
    readonly trainerEvent: number;
    readonly attemptId?: string;
    readonly step: number;
    readonly reason: string;
  };
  'training.failed': {
    readonly trainerEvent: number;
    readonly attemptId?: string;
    readonly step: number;
    readonly error: ErrorRecord;
    /** Ids of the rows at fault, where known. */
    readonly rowIds?: readonly string[];
    /** A JSON file about the step that failed; see TrainingFailed in trainer.proto. */
    readonly batchFile?: string;
  };
  /** A step ran again with another loss although the trainer promises determinism. */
  'step.diverged': { readonly step: number; readonly before: number; readonly after: number };

  /** A line for people. Telemetry. */
  'log.written': {
    readonly level: 'debug' | 'info' | 'warning' | 'error';
    /** Who wrote: "engine", "stage", "trainer NAME", "plugin NAME". */
    readonly source: string;
    readonly message: string;
    /** Of lines that a trainer wrote in an attempt: its event number, and which attempt. */
    readonly trainerEvent?: number;
    readonly attemptId?: string;
  };
  /** A sink threw; it is left out from here on, the run goes on. */
  'sink.failed': { readonly sink: string; readonly error: ErrorRecord };
}

export type EventType = keyof EventData;

/** One event, as a line of `events.jsonl` and as sinks get it. */
export type Event<T extends EventType = EventType> = {
  [K in T]: {
    readonly runId: string;
    /** From 1, no gaps; assigned once, before anyone sees the event. */
    readonly sequence: number;
    /** ISO 8601, UTC, milliseconds. */
    readonly time: string;
    readonly type: K;
    /** The stage it belongs to. */
    readonly stage?: string;
    /** Ordinal of the stage's attempt in this run, from 1. */
    readonly attempt?: number;
    readonly data: EventData[K];
  };
}[T];

/** An event before the bus gives it its run, sequence and time. */
export type EventDraft<T extends EventType = EventType> = {
  [K in T]: { readonly type: K; readonly stage?: string; readonly attempt?: number; readonly data: EventData[K] };
}[T];

/** Types that may be batched, and thinned for live readers. All others are facts. */
export const telemetryTypes: ReadonlySet<EventType> = new Set([
  'stage.progressed',
  'step.logged',
  'log.written',
] satisfies EventType[]);

/** What a stage may emit by itself; the engine speaks for the rest. */
export type StageEventType =
  | 'stage.progressed'
  | 'funnel.counted'
  | 'metric.measured'
  | 'log.written'
  | 'environment.prepared';
