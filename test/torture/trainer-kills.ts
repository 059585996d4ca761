import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { TrainerEvent } from '../../core/generated/simmer/trainer/v1/trainer.js';
import type { Random } from '../../core/random.js';
import { newestCheckpoint } from '../../core/trainer/checkpoints.js';
import { jobSteps, jobs, type Reference, trainingRequest, weightsDigest } from './trainer-job.js';
import { brokenCheckpoints, type StartKind, TorturedTrainer, type TrainerFactory } from './trainer-process.js';

/** Points of a checkpoint's save, in order; see simmer_trainer.pause_points. */
const savePoints = [
  ...['checkpoint.begun', 'checkpoint.weights', 'checkpoint.written', 'checkpoint.synced', 'checkpoint.marked'],
  ...['checkpoint.renamed', 'checkpoint.committed', 'checkpoint.told', 'checkpoint.pruning'],
];
/** Milliseconds after the start of an attempt: in its preparations, or in its first steps. */
const longestMoment = 500;
const modelPoints = ['model.written', 'model.renamed'];

/** What is to kill an attempt. */
type Death =
  | { readonly kind: 'moment'; readonly afterMilliseconds: number }
  | { readonly kind: 'step'; readonly step: number; readonly afterMilliseconds: number }
  | { readonly kind: 'point'; readonly point: string }
  | { readonly kind: 'never' };

/** What was done and found, over all runs. */
export class Tally {
  kills = 0;
  insideSave = 0;
  beforeFirstCheckpoint = 0;
  runs = 0;
  identical = 0;
  stepsRerun = 0;
  stepsUnmarked = 0;
  lossesDiffering = 0;
  readonly violations: string[] = [];
  readonly killsAt = new Map<string, number>();

  get isGood(): boolean {
    const { runs, identical, stepsUnmarked, lossesDiffering, violations } = this;
    return identical === runs && stepsUnmarked + lossesDiffering + violations.length === 0;
  }
}

interface TorturedRunOptions {
  readonly factory: TrainerFactory;
  readonly folder: string;
  readonly dataFile: string;
  readonly job: string;
  readonly reference: Reference;
  readonly choose: Random;
  readonly tally: Tally;
  /** How often the trainer is killed before it is left in peace. */
  readonly kills: number;
  /** How its last process, which trains to the end, is started. */
  readonly lastStart: StartKind;
}

/** One training that is killed again and again, each time goes on as the core would have it, and ends. */
export class TorturedRun {
  private readonly outputFolder: string;
  /** Loss of every step that some attempt has logged. */
  private readonly losses = new Map<number, number | undefined>();
  /** What was seen of the attempt that was killed last, before it was. */
  private seen: { readonly attemptId: string; readonly events: readonly TrainerEvent[] } | undefined;

  constructor(private readonly options: TorturedRunOptions) {
    this.outputFolder = join(options.folder, 'output');
  }

  async toTheEnd(): Promise<void> {
    const { tally, kills, reference } = this.options;
    await mkdir(this.outputFolder, { recursive: true });
    for (let attempt = 1; await this.isKilled(attempt, await this.nextDeath(attempt)); attempt++) {
      if (attempt > kills + 20) throw new Error(`${this.options.folder}: it never came to its end`);
    }
    tally.runs += 1;
    if ((await weightsDigest(join(this.outputFolder, 'model'))) === reference.modelDigest) tally.identical += 1;
    const missing = [...reference.losses.keys()].filter((step) => !this.losses.has(step));
    if (missing.length > 0) this.violation(`steps ${missing.join(', ')} were never logged`);
  }

  /** By turns before the first checkpoint, inside saves, after steps and at any moment; near enough to be reached. */
  private async nextDeath(attempt: number): Promise<Death> {
    const { choose, kills } = this.options;
    const saved = (await newestCheckpoint(this.outputFolder))?.step ?? 0;
    if (attempt > kills + 1) return { kind: 'never' };
    // The last one dies in the save of the model, if no other did.
    if (attempt === kills + 1) return { kind: 'point', point: choose.pick(modelPoints) };
    if (saved === 0 && attempt <= 3) return this.deathBeforeFirstCheckpoint();
    const draw = choose.next();
    if (draw < 0.1) return { kind: 'moment', afterMilliseconds: choose.integer(longestMoment) };
    if (draw < 0.4 || saved + jobSteps.betweenCheckpoints >= jobSteps.total) {
      const step = Math.min(saved + 1 + choose.integer(2 * jobSteps.betweenCheckpoints), jobSteps.total);
      return { kind: 'step', step, afterMilliseconds: choose.integer(40) };
    }
    const point = choose.pick(savePoints);
    // There is nothing to prune before the third.
    return { kind: 'point', point: saved < 8 && point === 'checkpoint.pruning' ? 'checkpoint.told' : point };
  }

  private deathBeforeFirstCheckpoint(): Death {
    const { choose } = this.options;
    const draw = choose.next();
    if (draw < 0.4) return { kind: 'moment', afterMilliseconds: choose.integer(longestMoment) };
    if (draw < 0.7) {
      return { kind: 'step', step: 1 + choose.integer(jobSteps.betweenCheckpoints - 1), afterMilliseconds: 0 };
    }
    return { kind: 'point', point: choose.pick(savePoints.slice(0, 5)) };
  }

  /** Starts a process and an attempt, and sees it to its death, or to its end. */
  private async isKilled(attempt: number, death: Death): Promise<boolean> {
    const { factory, folder, job, dataFile } = this.options;
    const pauseFile = join(folder, 'paused');
    const pause = death.kind === 'point' ? { point: death.point, file: pauseFile } : undefined;
    const start = death.kind === 'never' ? this.options.lastStart : 'fork';
    const trainer = await TorturedTrainer.start(factory, folder, start, pause);
    await this.readJournal(trainer);
    const checkpoint = await newestCheckpoint(this.outputFolder);
    const attemptId = `attempt-${attempt}`;
    await trainer.client.startTraining(trainingRequest(dataFile, jobs[job]!), {
      attemptId,
      jobId: folder,
      ordinal: attempt,
      outputFolder: this.outputFolder,
      ...(checkpoint === undefined ? {} : { resumeFrom: checkpoint.folder }),
    });
    const events: TrainerEvent[] = [];
    let ended: Promise<void> | undefined;
    const reached = new Promise<void>((resolve) => {
      ended = this.follow(trainer, attemptId, events, (step) => {
        if (death.kind === 'step' && step >= death.step) resolve();
      });
    });
    const stop = new AbortController();
    const isTime = await Promise.race([
      ended?.then(() => false),
      this.deathComes(death, reached, pauseFile, stop.signal),
    ]);
    stop.abort();
    await trainer.kill();
    await ended;
    if (!isTime) {
      const last = events.at(-1)?.event;
      if (last?.$case !== 'trainingCompleted') throw new Error(`training ended with ${JSON.stringify(last)}`);
      this.judge(events);
      return false;
    }
    await this.count(death);
    this.seen = { attemptId, events };
    return true;
  }

  private async follow(
    trainer: TorturedTrainer,
    attemptId: string,
    events: TrainerEvent[],
    onStep: (step: number) => void,
  ): Promise<void> {
    try {
      for await (const batch of trainer.client.watch(attemptId, 0)) {
        events.push(...batch);
        for (const { event } of batch) if (event?.$case === 'stepLogged') onStep(event.value.step);
      }
    } catch {
      // Its trainer was killed.
    }
  }

  private async deathComes(death: Death, reached: Promise<void>, pauseFile: string, stop: AbortSignal): Promise<true> {
    if (death.kind === 'never') return new Promise(() => {});
    if (death.kind === 'point') {
      while (!existsSync(pauseFile) && !stop.aborted) await wait(5);
      return true;
    }
    if (death.kind === 'step') await reached;
    await wait(death.afterMilliseconds);
    return true;
  }

  private async count(death: Death): Promise<void> {
    const { tally, reference } = this.options;
    tally.kills += 1;
    const at = death.kind === 'point' ? death.point : death.kind;
    tally.killsAt.set(at, (tally.killsAt.get(at) ?? 0) + 1);
    if (savePoints.includes(at)) tally.insideSave += 1;
    for (const broken of await brokenCheckpoints(this.outputFolder)) this.violation(`killed at ${at}: ${broken}`);
    const checkpoint = await newestCheckpoint(this.outputFolder);
    if (checkpoint === undefined) tally.beforeFirstCheckpoint += 1;
    else if ((await weightsDigest(checkpoint.folder)) !== reference.checkpointDigests.get(checkpoint.step)) {
      this.violation(`killed at ${at}: the checkpoint of step ${checkpoint.step} is not the undisturbed run's`);
    }
  }

  /** What the next process tells of the attempt that was killed: all that was seen, what was not, and its end. */
  private async readJournal(trainer: TorturedTrainer): Promise<void> {
    if (this.seen === undefined) return;
    const { attemptId, events } = this.seen;
    const kept: TrainerEvent[] = [];
    for await (const batch of trainer.client.watch(attemptId, 0)) kept.push(...batch);
    const text = (event: TrainerEvent) => JSON.stringify(TrainerEvent.toJSON(event));
    if (kept.some((event, index) => event.number !== BigInt(index + 1)))
      this.violation(`${attemptId}: numbers have gaps`);
    if (events.some((event, index) => kept[index] === undefined || text(kept[index]) !== text(event))) {
      this.violation(`${attemptId}: an event that was told is not in the journal`);
    }
    const last = kept.at(-1)?.event;
    // It was killed on its way out, with its work done.
    const isComplete = last?.$case === 'trainingCompleted';
    if (!isComplete && (last?.$case !== 'trainingFailed' || last.value.code !== 'trainer_exited')) {
      this.violation(`${attemptId}: the killed attempt ends in ${JSON.stringify(last)}`);
    }
    this.judge(kept);
  }

  /** Holds the steps of an attempt against earlier ones, and against the undisturbed run's. */
  private judge(events: readonly TrainerEvent[]): void {
    const { tally, reference } = this.options;
    const known = Math.max(0, ...this.losses.keys());
    for (const { event } of events) {
      if (event?.$case !== 'stepLogged') continue;
      const { step, loss, rerun } = event.value;
      if (this.losses.has(step)) {
        tally.stepsRerun += 1;
        if (!rerun) tally.stepsUnmarked += 1;
      } else if (rerun && step > known + 1) {
        // One step may have been done and not logged when its trainer was killed.
        this.violation(`step ${step} is marked as a rerun, and never ran`);
      }
      if (loss !== reference.losses.get(step)) tally.lossesDiffering += 1;
      this.losses.set(step, loss);
    }
  }

  private violation(what: string): void {
    this.options.tally.violations.push(`${this.options.folder}: ${what}`);
  }
}
