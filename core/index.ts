/** What plugins may import: `import { definePlugin } from 'simmerkit'`. */
export { z } from 'zod';
export type {
  Artifact,
  ArtifactFile,
  ArtifactManifest,
  ArtifactType,
  ArtifactUri,
  ArtifactWriter,
  Columns,
  DerivedRows,
  MadeRows,
  Row,
  RowReading,
  StartRows,
  TableArtifact,
  TableLocation,
  TableOptions,
  ThreadedRows,
  ThreadedTable,
} from './artifacts/artifact.js';
export { defaultCacheFolder, writingToCache } from './config/cache-folder.js';
export { builtInHardware, type Hardware } from './config/hardware.js';
export { parseExactJson } from './document/exact-json.js';
export { nearestName } from './document/nearest-name.js';
export { brokenOffReasons, chatMessage } from './endpoint/chat-message.js';
export type { Claim } from './endpoint/claimed-questions.js';
export { EarlierReplies, type KeptReply, replyDigest } from './endpoint/earlier-replies.js';
export {
  costOf,
  type EndpointCost,
  mostTokens,
  type TokenPrice,
  tokenPrice,
  usageOf,
} from './endpoint/endpoint-cost.js';
export { type EndpointWork, endpointEstimate } from './endpoint/endpoint-estimate.js';
export {
  type AroundSending,
  type EndpointBody,
  type EndpointOptions,
  EndpointRefusal,
  OpenAiEndpoint,
} from './endpoint/openai-endpoint.js';
export { PaidReplies } from './endpoint/paid-replies.js';
export { PassingFailure, retryAfter, retryPassing } from './endpoint/passing-failure.js';
export type { AskedByAnother } from './endpoint/question-links.js';
export { type PaidReply, ReplyJournal } from './endpoint/reply-journal.js';
export { parsedLine, wholeLines } from './endpoint/reply-lines.js';
export {
  type ErrorKind,
  type ErrorRecord,
  exitCodes,
  isUserError,
  type Problem,
  type SourcePosition,
  toErrorRecord,
  UserError,
  type UserErrorOptions,
} from './errors.js';
export type { Event, EventData, EventDraft, EventType, StageEventType } from './events/catalogue.js';
export { telemetryTypes } from './events/catalogue.js';
export { type Redact, redacted, redactor } from './events/redaction.js';
export {
  formatBytes,
  formatCompact,
  formatCount,
  formatCounted,
  formatDuration,
  formatShare,
  formatUsd,
} from './figures.js';
export { sha256OfFile } from './files/file-hash.js';
export { isGlob, matchingFiles } from './files/matching-files.js';
export { fitsPattern } from './files/name-pattern.js';
export { type ProcessGraderOptions, startProcessGrader } from './grader/process-grader.js';
export { inTime } from './in-time.js';
export { matchInTime } from './match-in-time.js';
export { finalAnswer } from './metrics/final-answer.js';
export {
  figuresByName,
  inStageOrder,
  type MeasuredFigure,
  type MeasuredFigures,
  withFigure,
} from './metrics/measured-figures.js';
export { measureScaling, type ScalingMeasures, type ScalingRun } from './metrics/scaling.js';
export { shareInterval } from './metrics/share-interval.js';
export { numberIn, requireColumns, textIn } from './plugin/columns.js';
export {
  defineGrader,
  defineLauncher,
  definePlugin,
  defineSink,
  defineStage,
  defineTrainer,
  filePath,
  graderChoice,
  input,
  manyInputs,
  optionalInput,
  outputFolder,
  placement,
  runsCode,
  secretVariable,
  serverUrl,
  trainerExtensions,
  trainerName,
} from './plugin/define.js';
export {
  apiVersion,
  type CheckPlace,
  type ColumnsOf,
  type GraderContext,
  type GraderDefinition,
  type InputDefinition,
  type InputDefinitions,
  type InputSources,
  type KnownColumns,
  type LaunchedProcess,
  type LauncherDefinition,
  type LaunchRequest,
  type OptionProblem,
  type OutputDefinitions,
  type PluginDefinition,
  type PrepareContext,
  type Sink,
  type SinkContext,
  type SinkDefinition,
  type StageContext,
  type StageDefinition,
  type StageEmission,
  type StageEvent,
  type StageInputs,
  type StageOutputs,
  type StageRun,
  type StageSource,
  type StartedGrader,
  type TrainerCommand,
  type TrainerDefinition,
} from './plugin/definitions.js';
export type {
  Advice,
  CalibrationRun,
  EstimateJob,
  EstimatePlace,
  Facts,
  KeptFolders,
  MemoryPart,
  PaidEstimate,
  StageEstimate,
  StageEstimateContext,
  TimePart,
  TrainerJob,
  WorkEstimate,
} from './plugin/estimate.js';
export { askedMessages, hasHistory, historyIn, historyType, type Message, messagesType } from './plugin/history.js';
export type {
  HookedStage,
  NestedHook,
  ParallelHook,
  PlanObjection,
  PluginHooks,
  RecipeTree,
  SequentialHook,
} from './plugin/hooks.js';
export type { Log } from './plugin/log.js';
export { type Pace, pace } from './plugin/pace.js';
export { patternFault } from './plugin/pattern-fault.js';
export type { Resources } from './plugin/resources.js';
export type { Reservation, Spending, SpendingRequest, Spent } from './plugin/spending.js';
export { attachToProcess } from './process/attach-to-process.js';
export { type HandshakeOptions, waitForHandshake } from './process/handshake.js';
export { downloadWithPip, hasNvidiaGpu } from './process/pip.js';
export {
  type PythonEnvironment,
  type PythonEnvironmentOptions,
  preparePythonEnvironment,
} from './process/python-environment.js';
export { usePython } from './process/python-interpreter.js';
export { installedVersions, projectRequirements, readLock } from './process/python-requirements.js';
export { type CommandResult, runCommand } from './process/run-command.js';
export { makeSocketFolder, removeSocketFolder } from './process/socket-folder.js';
export { type DetachedProcess, type ProcessExit, spawnDetached } from './process/spawn-detached.js';
export { endsWithin, terminateGroup } from './process/terminate.js';
export { waitForLock } from './process/wait-for-lock.js';
export { type Random, random } from './random.js';
export { contentDigest } from './recipe/content-digest.js';
export type { Json, Plan, PlannedSink, PlannedStage, PlannedTrainer, StageReference } from './recipe/plan.js';
export { readSecret } from './secrets.js';
export { shortened, shortenedAtStart, startOf } from './shortened-text.js';
export type { StartWork } from './threads/table-part.work.js';
export { type ThreadedWork, workInThreads } from './threads/work-in-threads.js';
export { gpuVariables } from './trainer/gpu-devices.js';
export type {
  Capability,
  ExportRequest,
  ExportResult,
  FileFormat,
  GenerationEvent,
  GenerationRequest,
  GivenGrade,
  Grade,
  GradeItem,
  Grader,
  Hyperparameters,
  InspectedRow,
  Intervention,
  ModelSource,
  Precision,
  Prompt,
  Sample,
  ThinkingFormat,
  ThinkingPolicy,
  Trainer,
  TrainerDescription,
  TrainingRequest,
  TrainingResult,
} from './trainer/trainer.js';
export { wrapLine } from './wrap-text.js';
