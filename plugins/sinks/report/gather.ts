import { type Event, type EventData, type MeasuredFigures, type Plan, withFigure } from 'simmerkit';
import { KeptSteps } from './kept-steps.js';
import type { FunnelStep, ReportData, StageTime, TrainingCurve, Versions } from './report-data.js';
import { SpendingSoFar } from './spending-section.js';

type Of<T extends Event['type']> = Extract<Event, { type: T }>;

interface TrainingSoFar {
  readonly steps: KeptSteps;
  /** By step: one that a kill took the checkpoint of runs again. */
  readonly evaluations: Map<number, EventData['evaluation.logged']>;
  checkpoints: Set<number>;
  rerunSteps: Set<number>;
  started: EventData['training.started'] | undefined;
  completed: EventData['training.completed'] | undefined;
}

/** What the page needs of the artifacts and files of a run; the events say the rest. */
type FromEvents = Omit<ReportData, 'comparisons' | 'forcing' | 'browsed' | 'plan' | 'recipeText'>;

/** Folds a run's events into what the page shows of them. */
export class RunGatherer {
  private created: Of<'run.created'> | undefined;
  private firstTime = '';
  private lastTime = '';
  /** Whether a core has the run: what lies between a stop and a resume is no time that the run took. */
  private isRunning = false;
  private seconds = 0;
  private readonly funnel = new Map<string, FunnelStep>();
  private readonly trainings = new Map<string, TrainingSoFar>();
  private readonly stageTimes = new Map<string, StageTime>();
  private readonly attempts = new Map<string, number>();
  private figures: MeasuredFigures = {};
  private readonly versions = new Map<string, Versions>();
  private readonly incidents: { time: string; text: string }[] = [];
  private readonly outputs = new Map<string, string>();
  private readonly completed: Of<'stage.completed'>[] = [];
  private readonly warnings: Of<'log.written'>[] = [];
  private readonly reused: Of<'stage.reused'>[] = [];
  private readonly spending = new SpendingSoFar();

  add(event: Event): void {
    this.firstTime ||= event.time;
    this.passTime(event);
    switch (event.type) {
      case 'run.created':
        this.created = event;
        break;
      case 'run.started':
        if (event.data.resumed) this.incident(event, `resumed by process ${event.data.pid} on ${event.data.host}`);
        break;
      case 'run.interrupted':
        this.incident(event, `interrupted: ${event.data.error?.message ?? event.data.reason}`);
        break;
      case 'budget.set':
      case 'budget.spent':
        this.spending.add(event);
        break;
      case 'stage.started':
        this.attempts.set(event.stage ?? '', (this.attempts.get(event.stage ?? '') ?? 0) + 1);
        break;
      case 'stage.failed':
        this.incident(event, `stage ${event.stage} failed: ${event.data.error.message}`);
        break;
      case 'stage.completed':
        this.completed.push(event);
        this.stageEnded(event, { state: 'completed', ...event.data });
        break;
      case 'stage.reused':
        this.reused.push(event);
        this.stageEnded(event, { state: 'reused', ...event.data });
        break;
      case 'funnel.counted':
        this.funnel.set(`${event.stage}/${event.data.step}`, { stage: event.stage ?? '', ...event.data });
        break;
      case 'metric.measured':
        this.figures = withFigure(this.figures, event);
        break;
      case 'environment.prepared':
        this.versions.set(event.data.name, { of: `environment ${event.data.name}`, versions: event.data.versions });
        break;
      case 'trainer.described':
        this.versions.set(event.data.trainer, {
          of: `trainer ${event.data.trainer}`,
          versions: { version: event.data.version, ...event.data.versions, devices: event.data.devices.join(', ') },
        });
        break;
      case 'trainer.started':
        if (event.data.start > 1) this.incident(event, `trainer ${event.data.trainer} started again`);
        break;
      case 'trainer.attached':
        this.incident(event, `trainer ${event.data.trainer} was still running and was attached again`);
        break;
      case 'trainer.exited':
        if (!event.data.expected) {
          const how = event.data.signal ?? `exit code ${event.data.exitCode}`;
          this.incident(event, `trainer ${event.data.trainer} died (${how})`);
        }
        break;
      case 'step.diverged':
        this.incident(event, `step ${event.data.step} ran again with another loss`);
        break;
      case 'sink.failed':
        this.incident(event, `sink ${event.data.sink} was left out: ${event.data.error.message}`);
        break;
      case 'log.written':
        this.addLogged(event);
        break;
      default:
        this.addTraining(event);
    }
  }

  /**
   * Adds what another run tells of how a stage was made that this run reused: its times, training and warnings.
   * @param stage the stage's name in this run @param origin the events of the other run
   */
  addOrigin(stage: string, key: string, origin: RunGatherer): void {
    const made = origin.completed.find((event) => event.data.key === key);
    const known = this.stageTimes.get(stage);
    if (made === undefined || known === undefined) return;
    const { seconds, peakMemoryBytes } = made.data;
    this.stageTimes.set(stage, { ...known, seconds, peakMemoryBytes });
    const training = origin.trainings.get(made.stage ?? '');
    if (training !== undefined) this.trainings.set(stage, training);
    const told = this.warnings.filter((event) => event.stage === stage).map((event) => event.data.message);
    for (const event of origin.warnings) {
      // Told again in this run, a warning says first of when it is.
      const isTold = told.some((message) => message.endsWith(event.data.message));
      if (event.stage === made.stage && !isTold) this.addLogged({ ...event, stage });
    }
  }

  /** Stages that an earlier run made, with that run. */
  reusedStages(): readonly { readonly stage: string; readonly key: string; readonly madeBy: string }[] {
    return this.reused.flatMap((event) =>
      event.stage === undefined || event.data.madeBy === undefined
        ? []
        : [{ stage: event.stage, key: event.data.key, madeBy: event.data.madeBy }],
    );
  }

  /** Every artifact of the run: `stage.output` to URI. */
  artifactUris(): ReadonlyMap<string, string> {
    return this.outputs;
  }

  result(): FromEvents {
    return {
      runId: this.created?.runId ?? '',
      recipe: this.created?.data.recipe ?? '',
      planDigest: this.created?.data.planDigest ?? '',
      simmerVersion: this.created?.data.simmerVersion ?? '',
      startedAt: this.firstTime,
      seconds: this.seconds,
      funnel: [...this.funnel.values()],
      trainings: [...this.trainings].map(([stage, training]) => toCurve(stage, training)),
      stages: [...this.stageTimes.values()].map((time) => ({ ...time, attempts: this.attempts.get(time.name) ?? 0 })),
      spending: this.spending.result(),
      figures: this.figures,
      versions: [...this.versions.values()],
      incidents: this.incidents,
    };
  }

  private passTime({ type, time }: Event): void {
    if (this.isRunning && type !== 'run.started' && time !== this.lastTime) {
      this.seconds += Math.max(0, Date.parse(time) - Date.parse(this.lastTime)) / 1000;
    }
    if (type === 'run.started') this.isRunning = true;
    if (type === 'run.completed' || type === 'run.failed' || type === 'run.interrupted') this.isRunning = false;
    this.lastTime = time;
  }

  private addLogged(event: Of<'log.written'>): void {
    const { level, source, message } = event.data;
    if (level !== 'warning' && level !== 'error') return;
    this.warnings.push(event);
    this.incident(event, `${event.stage ?? source}: ${message}`);
  }

  private incident(event: Event, text: string): void {
    this.incidents.push({ time: event.time, text });
  }

  private stageEnded(
    event: Event,
    data: Pick<EventData['stage.completed'], 'uses' | 'outputs'> &
      Partial<EventData['stage.completed']> & { readonly state: StageTime['state']; readonly madeBy?: string },
  ): void {
    const name = event.stage ?? '';
    for (const [output, uri] of Object.entries(data.outputs)) this.outputs.set(`${name}.${output}`, uri);
    const { uses, state, seconds, peakMemoryBytes, madeBy } = data;
    this.stageTimes.set(name, { name, uses, state, seconds, peakMemoryBytes, attempts: 0, madeBy });
  }

  private addTraining(event: Event): void {
    switch (event.type) {
      case 'training.started':
        this.training(event).started ??= event.data;
        break;
      case 'step.logged': {
        const training = this.training(event);
        if (event.data.rerun) training.rerunSteps.add(event.data.step);
        training.steps.add(event.data);
        break;
      }
      case 'evaluation.logged':
        this.training(event).evaluations.set(event.data.step, event.data);
        break;
      case 'checkpoint.saved':
        this.training(event).checkpoints.add(event.data.step);
        break;
      case 'training.completed':
        this.training(event).completed = event.data;
        break;
    }
  }

  private training(event: Event): TrainingSoFar {
    const stage = event.stage ?? '';
    let training = this.trainings.get(stage);
    if (training === undefined) {
      training = {
        steps: new KeptSteps(),
        evaluations: new Map(),
        checkpoints: new Set(),
        rerunSteps: new Set(),
        started: undefined,
        completed: undefined,
      };
      this.trainings.set(stage, training);
    }
    return training;
  }
}

function toCurve(stage: string, training: TrainingSoFar): TrainingCurve {
  return {
    stage,
    steps: training.steps.inOrder(),
    evaluations: [...training.evaluations.values()],
    checkpoints: [...training.checkpoints].sort((left, right) => left - right),
    rerunSteps: training.rerunSteps.size,
    started: training.started,
    completed: training.completed,
  };
}

/** What ran besides the trainers: Simmer, Node and the plugins. */
export function coreVersions(simmerVersion: string, plan: Plan | undefined): Versions {
  const plugins = Object.entries(plan?.plugins ?? {}).map(
    ([name, { version }]) => [`plugin ${name}`, version] as const,
  );
  return {
    of: 'Simmer',
    versions: { simmerkit: simmerVersion, node: process.version, ...Object.fromEntries(plugins) },
  };
}
