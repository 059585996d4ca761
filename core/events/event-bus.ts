import { type Observable, Subject } from 'rxjs';
import type { Event, EventDraft, EventType } from './catalogue.js';
import { formatEventLine } from './event-line.js';
import { redactor } from './redaction.js';
import type { LogEntry, RunLog } from './run-log.js';

/** There is nowhere in them for a secret to be; they are most of what a run says. */
const hasOnlyNumbers: ReadonlySet<EventType> = new Set(['step.logged'] satisfies EventType[]);

export interface EventBusOptions {
  readonly runId: string;
  readonly log: RunLog;
  /** As `RunLog.open` gave it. */
  readonly lastSequence: number;
  /** @default the clock */
  readonly now?: () => Date;
}

/**
 * All events of a run go through here: each gets its sequence once, is made durable, and only then reaches anybody, in
 * order. The bus never errors: a log that fails is told by `failure`, and `events$` is then silent.
 */
export class EventBus {
  /** Durable events, in order, from now on; does not replay (see `readEvents`). Completes on `close`. */
  readonly events$: Observable<Event>;
  /** Resolves with the log's first failure. */
  readonly failure: Promise<Error>;
  readonly #runId: string;
  readonly #log: RunLog;
  readonly #now: () => Date;
  readonly #redact = redactor();
  readonly #subject = new Subject<Event>();
  #sequence: number;
  #isClosed = false;

  constructor(options: EventBusOptions) {
    this.#runId = options.runId;
    this.#log = options.log;
    this.#sequence = options.lastSequence;
    this.#now = options.now ?? (() => new Date());
    this.events$ = this.#subject.asObservable();
    this.failure = options.log.failure;
  }

  /**
   * Resolves when the event is durable and every subscriber has seen it; rejects with the log's failure. Facts are written
   * at once, telemetry with the next fact or a few milliseconds later. Nobody needs to await it: a rejection that is not
   * looked at is no unhandled one.
   */
  emit(draft: EventDraft): Promise<Event> {
    const emitted = this.emitAll([draft]).then(([event]) => event as Event);
    emitted.catch(() => undefined);
    return emitted;
  }

  /** As `emit`, of several that follow each other: one promise for all of them. */
  emitAll(drafts: readonly EventDraft[]): Promise<readonly Event[]> {
    const emitted = this.#emitAll(drafts);
    emitted.catch(() => undefined);
    return emitted;
  }

  /** Waits until all that was emitted is durable and seen, then completes `events$` and closes the log. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#log.close();
    this.#subject.complete();
  }

  async #emitAll(drafts: readonly EventDraft[]): Promise<readonly Event[]> {
    const late = this.#isClosed ? drafts[0] : undefined;
    if (late !== undefined) throw new Error(`The bus of ${this.#runId} is closed: ${late.type} comes too late.`);
    const time = this.#now().toISOString();
    const entries = drafts.map((draft, index) => this.#entry(draft, this.#sequence + index + 1, time));
    const appended = this.#log.appendAll(entries);
    // Only now, with no await in between: a draft that the log refuses leaves no gap.
    this.#sequence += entries.length;
    await appended;
    const events = entries.map(({ event }) => event);
    for (const event of events) this.#subject.next(event);
    return events;
  }

  #entry(draft: EventDraft, sequence: number, time: string): LogEntry {
    const json = JSON.stringify(draft.data);
    const data = hasOnlyNumbers.has(draft.type) ? json : this.#redact(json);
    const event = {
      runId: this.#runId,
      sequence,
      time,
      type: draft.type,
      ...(draft.stage === undefined ? {} : { stage: draft.stage }),
      ...(draft.attempt === undefined ? {} : { attempt: draft.attempt }),
      // What sinks see is what a replay will show, and stays so when the emitter goes on with its object.
      data: JSON.parse(data),
    } as Event;
    return { event, line: formatEventLine(event, data) };
  }
}
