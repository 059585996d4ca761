import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TrainerEvent } from '../../generated/simmer/trainer/v1/trainer.js';

export type Payload = NonNullable<TrainerEvent['event']>;
const endings: ReadonlySet<string> = new Set(['trainingCompleted', 'trainingCanceled', 'trainingFailed']);

interface Header {
  readonly jobId: string;
  readonly attempt: number;
}

/** The events of one attempt: kept in a file until they are acknowledged, and given to all who watch. */
export class AttemptEvents {
  private readonly events: TrainerEvent[] = [];
  private readonly waiting = new Set<() => void>();
  /** Events up to this number are gone. */
  private forgotten = 0;

  constructor(
    readonly attemptId: string,
    readonly header: Header,
    private readonly file: string,
  ) {}

  get lastNumber(): number {
    return this.forgotten + this.events.length;
  }

  get ended(): boolean {
    const last = this.events.at(-1)?.event;
    return this.wasEnded || (last !== undefined && endings.has(last.$case));
  }
  private wasEnded = false;

  /** The last step that was logged; 0 for none. */
  lastStep = 0;

  /** Appends an event: it outlives a kill of the process when this returns. */
  add(event: Payload): void {
    const message: TrainerEvent = { number: BigInt(this.lastNumber + 1), time: new Date(), event };
    appendFileSync(this.file, `${JSON.stringify(TrainerEvent.toJSON(message))}\n`);
    this.restore(message);
    for (const wake of this.waiting) wake();
  }

  restore(event: TrainerEvent): void {
    this.events.push(event);
    if (event.event?.$case === 'stepLogged') this.lastStep = Math.max(this.lastStep, event.event.value.step);
  }

  acknowledge(upTo: number): void {
    this.wasEnded = this.ended;
    const count = Math.max(0, Math.min(upTo, this.lastNumber) - this.forgotten);
    this.events.splice(0, count);
    this.forgotten += count;
  }

  hasAfter(number: number): boolean {
    return number >= this.forgotten;
  }

  /** Events above a number that are there now. */
  after(number: number): readonly TrainerEvent[] {
    return this.events.slice(Math.max(0, number - this.forgotten));
  }

  /** Resolves when there is an event above a number, or when the signal is aborted. */
  async more(number: number, signal: AbortSignal): Promise<void> {
    while (this.lastNumber <= number && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const go = () => {
          signal.removeEventListener('abort', go);
          this.waiting.delete(go);
          resolve();
        };
        this.waiting.add(go);
        signal.addEventListener('abort', go, { once: true });
      });
    }
  }
}

/** All attempts that a trainer's folder knows. */
export class EventJournal {
  private readonly attempts = new Map<string, AttemptEvents>();

  /**
   * Reads what a former process left; attempts that it did not end have failed.
   * @param isForgetful reads nothing, against the contract
   */
  constructor(
    private readonly folder: string,
    isForgetful: boolean,
  ) {
    mkdirSync(folder, { recursive: true });
    if (isForgetful) return;
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.events.jsonl'))) {
      this.load(join(folder, name), name.slice(0, -'.events.jsonl'.length));
    }
  }

  get(attemptId: string): AttemptEvents | undefined {
    return this.attempts.get(attemptId);
  }

  begin(attemptId: string, header: Header): AttemptEvents {
    const file = join(this.folder, `${attemptId}.events.jsonl`);
    appendFileSync(file, `${JSON.stringify(header)}\n`);
    const events = new AttemptEvents(attemptId, header, file);
    this.attempts.set(attemptId, events);
    return events;
  }

  /** The attempts of a job, of this process and of former ones. */
  ofJob(jobId: string): readonly AttemptEvents[] {
    return [...this.attempts.values()].filter((events) => events.header.jobId === jobId);
  }

  private load(file: string, attemptId: string): void {
    const lines = (existsSync(file) ? readFileSync(file, 'utf8') : '').split('\n').slice(0, -1);
    const [header, ...rest] = lines;
    if (header === undefined) return;
    const events = new AttemptEvents(attemptId, JSON.parse(header) as Header, file);
    for (const line of rest) events.restore(TrainerEvent.fromJSON(JSON.parse(line)));
    if (!events.ended) {
      const message = 'the process of the trainer ended before the attempt did';
      const value = { code: 'trainer_exited', message, step: events.lastStep, retryable: true, rowIds: [] };
      events.add({ $case: 'trainingFailed', value });
    }
    this.attempts.set(attemptId, events);
  }
}
