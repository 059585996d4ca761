import type { Event, EventDraft } from '../events/catalogue.js';

/** What is known of an attempt from the run's log. */
interface KnownAttempt {
  /** Number of its last event in the log. */
  lastNumber: number;
  totalSteps: number;
  ended: boolean;
}

/**
 * What a supervisor must remember of the run's log: what a former core recorded, then what this one does. Of a training it
 * keeps the losses since the last checkpoint, however long the log is.
 */
export class EventMemory {
  /** How many processes of the trainer were started in this run. */
  starts = 0;
  /** The process that the log believes to be running. */
  running: { readonly pid: number } | undefined;
  private readonly attempts = new Map<string, KnownAttempt>();
  /** Losses by stage and step, for as long as the step may run again. */
  private readonly losses = new Map<string, Map<number, number>>();
  /** Attempt that is under way, by stage: events between its start and its end do not name it. */
  private readonly current = new Map<string, string>();

  constructor(private readonly trainer: string) {}

  /** Takes in an event that is durable. @param attemptId where the caller knows it */
  see(event: Event | EventDraft, attemptId?: string): void {
    switch (event.type) {
      case 'trainer.started':
        if (event.data.trainer !== this.trainer) return;
        this.starts = Math.max(this.starts, event.data.start);
        this.running = { pid: event.data.pid };
        return;
      case 'trainer.attached':
        if (event.data.trainer === this.trainer) this.running = { pid: event.data.pid };
        return;
      case 'trainer.exited':
        if (event.data.trainer === this.trainer) this.running = undefined;
        return;
    }
    if (event.stage === undefined || !('trainerEvent' in event.data) || event.data.trainerEvent === undefined) return;
    const named = 'attemptId' in event.data ? event.data.attemptId : undefined;
    const id = attemptId ?? named ?? this.current.get(event.stage);
    if (id === undefined) return;
    this.current.set(event.stage, id);
    const attempt = this.attempt(id);
    attempt.lastNumber = Math.max(attempt.lastNumber, event.data.trainerEvent);
    switch (event.type) {
      case 'training.started':
        attempt.totalSteps = event.data.totalSteps;
        return;
      case 'step.logged':
        if (event.data.loss !== null) this.lossesOf(event.stage).set(event.data.step, event.data.loss);
        return;
      case 'checkpoint.saved':
        this.forgetLosses(event.stage, event.data.step);
        return;
      case 'training.completed':
      case 'training.canceled':
      case 'training.failed':
        attempt.ended = true;
        return;
    }
  }

  /** Whether a training has begun that has no end: it has what only a checkpoint keeps. */
  get isTraining(): boolean {
    return [...this.attempts.values()].some(({ totalSteps, ended }) => totalSteps > 0 && !ended);
  }

  attempt(id: string): KnownAttempt {
    const known = this.attempts.get(id);
    if (known !== undefined) return known;
    const attempt = { lastNumber: 0, totalSteps: 0, ended: false };
    this.attempts.set(id, attempt);
    return attempt;
  }

  /** The loss that a step had when it ran before. */
  lossOf(stage: string, step: number): number | undefined {
    return this.losses.get(stage)?.get(step);
  }

  private lossesOf(stage: string): Map<number, number> {
    const known = this.losses.get(stage);
    if (known !== undefined) return known;
    const losses = new Map<number, number>();
    this.losses.set(stage, losses);
    return losses;
  }

  /** Steps up to a checkpoint do not run again. */
  private forgetLosses(stage: string, upToStep: number): void {
    const losses = this.losses.get(stage);
    for (const step of losses?.keys() ?? []) if (step <= upToStep) losses?.delete(step);
  }
}
