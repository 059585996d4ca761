import { type Observable, Subject } from 'rxjs';
import { SteadyClock } from '../steady-clock.js';
import type { Event, EventDraft, EventType } from './catalogue.js';
import { lineFormat } from './event-line.js';
import { frozen } from './frozen.js';
import { redactJsonText, redactor } from './redaction.js';
import type { LogEntry, RunLog } from './run-log.js';

/** There is nowhere in them for a secret to be, nor for an object in them to change; they are most of what a run says. */
const hasOnlyNumbers: ReadonlySet<EventType> = new Set(['step.logged'] satisfies EventType[]);

interface EventBusOptions {
  readonly runId: string;
  readonly log: RunLog;
  /** As `RunLog.open` gave it. */
  readonly lastSequence: number;
  /** @default the clock, which goes on where it is set back: durations are taken from the times of events */
  readonly now?: () => Date;
}

/**
 * All events of a run go through here: each gets its sequence once, is made durable, and only then reaches anybody, in
 * order. The bus never errors: a log that fails is told by `failure`, and `batches$` is then silent.
 */
export class EventBus {
  /**
   * Durable events, in order, from now on, as many at once as were emitted at once; never an empty list. Does not replay
   * (see `readEvents`). Completes on `close`.
   */
  readonly batches$: Observable<readonly Event[]>;
  /** Resolves with the log's first failure. */
  readonly failure: Promise<Error>;
  readonly #runId: string;
  readonly #log: RunLog;
  readonly #clock = new SteadyClock();
  readonly #now: () => Date;
  readonly #redact = redactor();
  readonly #subject = new Subject<readonly Event[]>();
  #sequence: number;
  #isClosed = false;

  constructor(options: EventBusOptions) {
    this.#runId = options.runId;
    this.#log = options.log;
    this.#sequence = options.lastSequence;
    this.#now = options.now ?? (() => new Date(this.#clock.now()));
    this.batches$ = this.#subject.asObservable();
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
    // Drafts and lines are not held until the events are durable: thousands of them may be under way.
    const emitted = new Promise<readonly Event[]>((resolve) => resolve(this.#append(drafts)));
    emitted.catch(() => undefined);
    return emitted;
  }

  /** Waits until all that was emitted is durable and seen, then completes `batches$` and closes the log. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#log.close();
    this.#subject.complete();
  }

  #append(drafts: readonly EventDraft[]): Promise<readonly Event[]> {
    const late = this.#isClosed ? drafts[0] : undefined;
    if (late !== undefined) throw new Error(`The bus of ${this.#runId} is closed: ${late.type} comes too late.`);
    const entries = this.#entries(drafts);
    const appended = this.#log.append(entries);
    // Only now, with no await in between: a draft that the log refuses leaves no gap.
    this.#sequence += entries.length;
    return this.#publish(
      appended,
      entries.map(({ event }) => event),
    );
  }

  async #publish(appended: Promise<void>, events: readonly Event[]): Promise<readonly Event[]> {
    await appended;
    if (events.length > 0) this.#subject.next(events);
    return events;
  }

  #entries(drafts: readonly EventDraft[]): readonly LogEntry[] {
    const time = this.#now().toISOString();
    const runId = this.#runId;
    let sequence = this.#sequence;
    let before: EventDraft | undefined;
    let place: ReturnType<typeof present> = {};
    let line: ReturnType<typeof lineFormat> | undefined;
    return drafts.map((draft) => {
      const { type, stage, attempt } = draft;
      const isLike = before?.type === type && before.stage === stage && before.attempt === attempt;
      if (line === undefined || !isLike) {
        place = present(stage, attempt);
        line = lineFormat({ runId, time, type, ...place });
      }
      before = draft;
      sequence += 1;
      const isPlain = hasOnlyNumbers.has(type) && comesBackFromJson(draft.data);
      const json = JSON.stringify(draft.data);
      const text = isPlain ? json : redactJsonText(this.#redact, json);
      // What sinks see is what a replay will show, and stays so whatever the emitter or one of them does with its object.
      const data: unknown = isPlain ? unchanging(draft.data) : frozen(JSON.parse(text));
      const event = Object.freeze({ runId, sequence, time, type, ...place, data }) as Event;
      return { event, line: line(sequence, text) };
    });
  }
}

function present(stage: string | undefined, attempt: number | undefined): Pick<Event, 'stage' | 'attempt'> {
  if (stage === undefined) return attempt === undefined ? {} : { attempt };
  return attempt === undefined ? { stage } : { stage, attempt };
}

/** @param data without objects in it */
function unchanging(data: EventDraft['data']): EventDraft['data'] {
  return Object.isFrozen(data) ? data : Object.freeze({ ...data });
}

/** Whether it is an object of numbers, booleans and null alone, each of which JSON has as it is. */
function comesBackFromJson(data: EventDraft['data']): boolean {
  const values = data as unknown as Readonly<Record<string, unknown>>;
  for (const key in values) {
    const value = values[key];
    // JSON has neither NaN nor infinity nor negative zero.
    const isNumber = typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0);
    if (!isNumber && typeof value !== 'boolean' && value !== null) return false;
  }
  return true;
}
