import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Event, EventDraft, EventType } from '../../core/events/catalogue.js';
import { isAlive, type ProcessIdentity, processIdentity } from '../../core/process/process-identity.js';
import type { PlannedTrainer } from '../../core/recipe/plan.js';
import type { Misbehavior } from '../../core/testing/fake-trainer/misbehavior.js';
import { fakeTrainerPlugin } from '../../core/testing/fake-trainer-plugin.js';
import { EventMemory } from '../../core/trainer/event-memory.js';
import type { GenerationRequest, Hyperparameters, Trainer, TrainingRequest } from '../../core/trainer/trainer.js';
import { TrainerSupervisor, type TrainerSupervisorOptions } from '../../core/trainer/trainer-supervisor.js';
import launchers from '../../plugins/launchers/plugin.js';

const hyperparameters: Hyperparameters = {
  method: 'full',
  learningRate: 1e-3,
  epochs: 1,
  maxSteps: 20,
  globalBatchSize: 2,
  warmupRatio: 0,
  schedule: 'constant',
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 1,
  maxSequenceLength: 64,
  maxTruncatedShare: 1,
  packing: false,
  gradientCheckpointing: false,
  seed: 5,
  checkpointEverySteps: 5,
  checkpointsKept: 2,
  logEverySteps: 1,
  evaluateEverySteps: 0,
};

/** A run folder, a log in memory, and supervisors of a real fake trainer process on them. */
export class TrainerBench implements AsyncDisposable {
  readonly events: Event[] = [];
  private readonly supervisors: TrainerSupervisor[] = [];
  private readonly processes: ProcessIdentity[] = [];
  private readonly waiting = new Set<() => void>();
  private attempt = 0;

  private constructor(
    readonly folder: string,
    readonly trainingData: string,
  ) {}

  static async open(): Promise<TrainerBench> {
    const folder = await mkdtemp(join(tmpdir(), 'trainer-bench-'));
    await mkdir(join(folder, 'scratch'));
    const data = join(folder, 'train.parquet');
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    await connection.run(
      `COPY (SELECT 'What is ' || i || ' and one?' AS prompt, 'It is ' || (i + 1) AS completion FROM range(20) t(i))
       TO '${data}' (FORMAT parquet)`,
    );
    connection.closeSync();
    instance.closeSync();
    return new TrainerBench(folder, data);
  }

  /** A supervisor as a new core would make it: it knows the log so far. */
  supervise(
    misbehavior: Partial<Misbehavior> = {},
    {
      planned,
      transport = 'unix',
      ...options
    }: Partial<Omit<TrainerSupervisorOptions, 'planned'>> & {
      readonly planned?: Partial<PlannedTrainer>;
      readonly transport?: 'unix' | 'tcp';
    } = {},
  ): TrainerSupervisor {
    const definition = fakeTrainerPlugin.trainers?.fake;
    const launcher = launchers.launchers?.local;
    if (definition === undefined || launcher === undefined) throw new Error('the plugins lost their contributions');
    const supervisor = new TrainerSupervisor({
      planned: {
        name: 'student',
        uses: 'fake-trainer/fake',
        options: definition.options.parse({ misbehavior }) as never,
        semanticOptions: {},
        codeDigest: 'code',
        launcher: { uses: 'launchers/local', options: { transport } },
        resources: { cpus: 1 },
        relevantVersions: {},
        ...planned,
      },
      definition,
      launcher,
      runId: 'run-1',
      runFolder: this.folder,
      cacheFolder: this.folder,
      recipeFolder: this.folder,
      emit: (...drafts) => this.emit(...drafts),
      memory: this.remembered(),
      ...options,
    });
    this.supervisors.push(supervisor);
    return supervisor;
  }

  private remembered(): EventMemory {
    const memory = new EventMemory('student');
    for (const event of this.events) memory.see(event);
    return memory;
  }

  /** The trainer for the next attempt of the one stage. */
  stage(supervisor: TrainerSupervisor, signal: AbortSignal = new AbortController().signal): Trainer {
    this.attempt += 1;
    const scratchFolder = join(this.folder, 'scratch');
    return supervisor.forStage({ name: 'tuned', attempt: this.attempt, key: 'key', scratchFolder, signal });
  }

  training(changes: Partial<Hyperparameters> = {}): TrainingRequest {
    return {
      model: { kind: 'random', config: { model_type: 'fake' }, seed: 1 },
      trainingData: this.trainingData,
      hyperparameters: { ...hyperparameters, ...changes },
    };
  }

  generation(prompts: number, changes: Partial<GenerationRequest> = {}): GenerationRequest {
    return {
      model: { kind: 'random', config: { model_type: 'fake' }, seed: 1 },
      prompts: Array.from({ length: prompts }, (_, index) => ({
        id: `p${index}`,
        prompt: { kind: 'messages', messages: [{ role: 'user', content: `What is ${index} and one?` }] },
      })),
      sampling: { temperature: 0, maxAnswerTokens: 32, stop: [], seed: 1, samples: 1 },
      thinkingFormat: { start: '<think>\n', end: '</think>\n', finalAnswerPrompt: 'Final Answer:' },
      policies: [{ id: 'free', ignoreEndCount: 0, word: 'Wait', spendingRule: 'total' }],
      ...changes,
    };
  }

  of<T extends EventType>(type: T): readonly Extract<Event, { type: T }>[] {
    return this.events.filter((event): event is Extract<Event, { type: T }> => event.type === type);
  }

  /** The trainer's own event numbers of each attempt, as they are in the log. */
  trainerEvents(): ReadonlyMap<string, readonly number[]> {
    const numbers = new Map<string, number[]>();
    let current = '';
    for (const { data } of this.events) {
      if (!('trainerEvent' in data) || data.trainerEvent === undefined) continue;
      if ('attemptId' in data && data.attemptId !== undefined) current = data.attemptId;
      numbers.set(current, [...(numbers.get(current) ?? []), data.trainerEvent]);
    }
    return numbers;
  }

  /** Resolves at the first event, past or to come, that is as asked. */
  async seen(isIt: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.events.find(isIt);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  step(number: number): Promise<Event> {
    return this.seen((event) => event.type === 'step.logged' && event.data.step >= number);
  }

  /** The processes that were started and have not ended. */
  async alive(): Promise<readonly number[]> {
    const alive: number[] = [];
    for (const identity of this.processes) if (await isAlive(identity)) alive.push(identity.pid);
    return alive;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const supervisor of this.supervisors) await supervisor.dispose('leave');
    for (const { pid } of this.processes) if ((await this.alive()).includes(pid)) process.kill(-pid, 'SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Says them in the log; resolves when they are durable. */
  async emit(...drafts: readonly EventDraft[]): Promise<void> {
    for (const draft of drafts) await this.emitOne(draft);
  }

  private async emitOne(draft: EventDraft): Promise<void> {
    const event = {
      runId: 'run-1',
      sequence: this.events.length + 1,
      time: new Date().toISOString(),
      ...draft,
    } as Event;
    this.events.push(event);
    if (event.type === 'trainer.started') {
      const identity = await processIdentity(event.data.pid);
      if (identity !== undefined) this.processes.push(identity);
    }
    for (const wake of this.waiting) wake();
    this.waiting.clear();
    // Durable a little later, as on a disk.
    await new Promise(setImmediate);
  }
}
