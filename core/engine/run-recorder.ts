import { inject, injectable } from 'inversify';
import { BehaviorSubject, filter, firstValueFrom, race } from 'rxjs';
import type { Event, EventDraft } from '../events/catalogue.js';
import { EventBus } from '../events/event-bus.js';
import type { Log } from '../plugin/log.js';
import { cutLongText } from '../shortened-text.js';
import type { RunInfo } from './run-scope.js';
import { foldRunStates, type RunState } from './run-state.js';
import { StageWarnings } from './stage-warnings.js';
import { RunInfoToken } from './tokens.js';

/** Where the lines of a log belong. */
interface LogScope {
  readonly source: string;
  readonly stage?: string;
  readonly attempt?: number;
}

/** All that is said in a run goes through here to the bus. Keeps the run's state, and why the log failed if it did. */
@injectable()
export class RunRecorder {
  readonly #bus: EventBus;
  readonly #state$: BehaviorSubject<RunState>;
  readonly #failure$ = new BehaviorSubject<Error | undefined>(undefined);
  #isConcluded = false;
  #latest: Promise<Event | undefined> = Promise.resolve(undefined);

  constructor(@inject(EventBus) bus: EventBus, @inject(RunInfoToken) run: RunInfo) {
    this.#bus = bus;
    this.#state$ = new BehaviorSubject(run.state);
    bus.batches$.subscribe((events) => this.#state$.next(foldRunStates(this.#state$.value, events)));
    void bus.failure.then((error) => this.#failure$.next(error));
  }

  /** The fold over all events that are durable. */
  get state(): RunState {
    return this.#state$.value;
  }

  /** Why the log takes nothing more. */
  get failure(): Error | undefined {
    return this.#failure$.value;
  }

  /** Resolves when the log fails; stays open where it does not. */
  get failed(): Promise<Error> {
    return firstValueFrom(this.#failure$.pipe(filter((failure) => failure !== undefined)));
  }

  /** After the run's last event. */
  get isConcluded(): boolean {
    return this.#isConcluded;
  }

  /** Resolves when it is durable. @throws the log's failure, after which nothing is acknowledged any more */
  emit(draft: EventDraft): Promise<Event> {
    if (this.#isConcluded) return Promise.reject(new Error(`The run has ended: ${draft.type} comes too late.`));
    return this.#write(this.#bus.emit(draft));
  }

  /** As `emit`, of several that follow each other. */
  emitAll(drafts: readonly EventDraft[]): Promise<readonly Event[]> {
    if (this.#isConcluded) return Promise.reject(new Error(`The run has ended: ${drafts[0]?.type} comes too late.`));
    const written = this.#bus.emitAll(drafts);
    void this.#write(written.then((events) => events.at(-1)));
    return written;
  }

  /** For telemetry: nobody waits. Where the log fails, `failure` says so. */
  tell(draft: EventDraft): void {
    void this.emit(draft).catch(() => undefined);
  }

  log(scope: LogScope): Log {
    const { source, ...where } = scope;
    const write = (level: 'debug' | 'info' | 'warning' | 'error') => (message: string) =>
      this.tell({ type: 'log.written', ...where, data: { level, source, message: cutLongText(String(message)) } });
    return { debug: write('debug'), info: write('info'), warning: write('warning'), error: write('error') };
  }

  /** What is warned of an attempt of a stage from now on. */
  warningsOf(stage: string, attempt: number): StageWarnings {
    return new StageWarnings(this.#bus.batches$, stage, attempt);
  }

  /** Says the run's last event; nothing comes after it, whoever may still want to speak. */
  conclude(draft: EventDraft<'run.completed' | 'run.failed' | 'run.interrupted'>): Promise<Event> {
    this.#isConcluded = true;
    return this.#write(this.#bus.emit(draft));
  }

  /** Everything said so far is durable, in `state` and with whoever listens to the bus; or the log has failed. */
  async flushed(): Promise<void> {
    const last = await this.#latest;
    if (last === undefined || this.failure !== undefined) return;
    await firstValueFrom(
      race(
        this.#state$.pipe(filter((state) => state.events >= last.sequence)),
        this.#failure$.pipe(filter((failure) => failure !== undefined)),
      ),
    );
  }

  #write<Last extends Event | undefined>(written: Promise<Last>): Promise<Last> {
    // What the bus refuses (data that is not JSON) was not said; what came before it may still be under way.
    const before = this.#latest;
    this.#latest = written.catch(() => before);
    return written;
  }
}
