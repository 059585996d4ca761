import type { Artifact, ArtifactWriter, TableArtifact } from '../artifacts/artifact.js';
import { UserError } from '../errors.js';
import type { EventDraft } from '../events/catalogue.js';
import type { InputDefinitions, StageContext, StageEvent } from '../plugin/definitions.js';
import type { PlannedStage } from '../recipe/plan.js';
import { keptDigest } from '../recipe/stage-key.js';
import { cutLongText } from '../shortened-text.js';
import { checkStageEvent } from './check-stage-event.js';
import type { GraderPool } from './grader-pool.js';
import type { RunRecorder } from './run-recorder.js';
import type { BudgetGuard } from './spending/budget-guard.js';
import type { TrainerPool } from './trainer-pool.js';

type AnyStageContext = StageContext<Readonly<Record<string, unknown>>, InputDefinitions>;
export type StageInputValues = Readonly<
  Record<string, Artifact | TableArtifact | readonly (Artifact | TableArtifact)[] | undefined>
>;

/** What a stage's context is made from. */
interface StageContextParts {
  readonly runId: string;
  readonly stage: PlannedStage;
  readonly attempt: number;
  readonly key: string;
  readonly inputs: StageInputValues;
  readonly artifacts: ArtifactWriter;
  readonly scratchFolder: string;
  /** The stage's folder among those with the same digest. */
  keptFolder(digest: string): Promise<string>;
  readonly recipeFolder: string;
  readonly cacheFolder: string;
  readonly python?: string;
  readonly signal: AbortSignal;
  readonly recorder: RunRecorder;
  readonly trainers: TrainerPool;
  whileIdle<T>(work: Promise<T>): Promise<T>;
  whilePreparing<T>(work: Promise<T>): Promise<T>;
  readonly graders: GraderPool;
  readonly budget: BudgetGuard;
}

/** The context that a stage gets, and what the engine keeps of it. */
interface OpenStageContext {
  readonly context: AnyStageContext;
  /** `funnel.counted` and `metric.measured` of this attempt: told again when the stage is reused. */
  readonly facts: readonly EventDraft[];
  /** The stage has ended: what it left running may say nothing more. */
  close(): void;
}

export function openStageContext(parts: StageContextParts): OpenStageContext {
  const { stage, attempt, recorder, signal } = parts;
  const facts: EventDraft[] = [];
  let isOpen = true;

  const emit = async (event: StageEvent): Promise<void> => {
    if (!isOpen) throw new Error(`Stage "${stage.name}" has ended; it emitted ${event.type} too late.`);
    checkStageEvent(event);
    if (event.type === 'funnel.counted' || event.type === 'metric.measured') facts.push(event);
    await recorder.emit({ ...withShortText(event), stage: stage.name, attempt });
  };

  const context: AnyStageContext = {
    runId: parts.runId,
    stage: stage.name,
    attempt,
    options: stage.options,
    inputs: parts.inputs as AnyStageContext['inputs'],
    seed: stage.seed,
    signal,
    log: recorder.log({ source: 'stage', stage: stage.name, attempt }),
    artifacts: parts.artifacts,
    scratchFolder: parts.scratchFolder,
    keptFolder: async (of) => parts.keptFolder(keptDigest(stage, of)),
    recipeFolder: parts.recipeFolder,
    cacheFolder: parts.cacheFolder,
    ...(parts.python === undefined ? {} : { python: parts.python }),
    emit,
    spending: parts.budget.spendingOf({ stage: stage.name, attempt }),
    async trainer(name) {
      if (!stage.trainers.includes(name)) {
        throw new UserError(
          'trainer_not_declared',
          `It asked for the trainer "${name}", which its options do not name.`,
          {
            kind: 'runFailed',
            hint: 'A stage declares an option with trainerName() for each trainer that it uses.',
          },
        );
      }
      const { scratchFolder, key, whilePreparing: whileIdle } = parts;
      return parts.trainers.forStage(name, { name: stage.name, attempt, key, scratchFolder, signal, whileIdle });
    },
    grader: (uses, options = {}) => parts.graders.get(uses, options, { stage: stage.name, attempt }, parts.whileIdle),
  };
  return {
    context,
    facts,
    close() {
      isOpen = false;
    },
  };
}

function withShortText(event: StageEvent): StageEvent {
  if (event.type !== 'log.written') return event;
  return { ...event, data: { ...event.data, message: cutLongText(event.data.message) } };
}
