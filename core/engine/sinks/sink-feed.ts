import { UserError } from '../../errors.js';
import { type Event, telemetryTypes } from '../../events/catalogue.js';
import type { Sink } from '../../plugin/definitions.js';
import { blamingStrayErrors } from '../../plugin/stray-errors.js';
import { withTimeLimit } from '../time-limit.js';

/** Nobody wonders why a run does not end for so long. */
const toldWaitMilliseconds = 15_000;

export interface SinkFeedOptions {
  readonly name: string;
  /** What the sink is not given. @default nothing */
  isLeftOut?(event: Event): boolean;
  /** The sink threw, or fell hopelessly behind: it gets nothing more. Called at most once. */
  onFailure(error: unknown): void;
  /** All stages are done, and the run has waited for the sink for a while. @param milliseconds that it may take in all */
  onWaitedFor?(milliseconds: number): void;
  /** The queue was full and telemetry is left out from now on. Called at most once. */
  onTelemetryDropped(): void;
  /** @default 1024 */
  readonly telemetryLimit?: number;
  /** @default 65536 */
  readonly factLimit?: number;
}

/**
 * The bounded queue before one sink. Where `telemetryLimit` events wait, further telemetry is left out for this sink;
 * facts wait their turn; a sink with `factLimit` events waiting is given up, so that it can take neither the run's time
 * nor its memory.
 */
export class SinkFeed {
  readonly name: string;
  readonly #options: SinkFeedOptions;
  readonly #queue: Event[] = [];
  #sink: Sink | undefined;
  #isDropping = false;
  #hasFailed = false;
  #lastOffered = 0;
  #lastDelivered = 0;
  /** Whether the history is read, however long that takes: what the queue does not hold then is read from the log, too. */
  #isInHistory = true;
  #hasMissed = false;
  /** What the sink has been given and is not done with. */
  #taking: Event | undefined;
  #pump: Promise<void> | undefined;

  constructor(options: SinkFeedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Queues the event; never waits. What comes before the sink is open is kept until then. */
  offer(event: Event): void {
    if (this.#hasFailed || this.#options.isLeftOut?.(event)) return;
    this.#lastOffered = event.sequence;
    if (this.#queue.length >= (this.#options.telemetryLimit ?? 1024) && telemetryTypes.has(event.type)) {
      if (this.#isInHistory) {
        this.#hasMissed = true;
        return;
      }
      if (!this.#isDropping) this.#options.onTelemetryDropped();
      this.#isDropping = true;
      return;
    }
    if (this.#queue.length >= (this.#options.factLimit ?? 65_536)) {
      this.fail(new UserError('sink_too_slow', `It fell ${this.#queue.length} events behind.`));
      return;
    }
    this.#queue.push(event);
    const sink = this.#sink;
    // In a microtask, so that what is offered in one go is delivered in one go.
    if (sink !== undefined) this.#pump ??= Promise.resolve().then(() => this.#owning(() => this.#deliverQueue(sink)));
  }

  /**
   * Opens the sink, delivers the run's history, then what was offered meanwhile and from now on; each event once. Goes
   * on by itself: a sink that is slow to open holds up nobody. Called once.
   * @param history what the log has after a sequence, up to another one, or else to where the sink begins
   */
  begin(open: () => Promise<Sink>, history: (after: number, upTo?: number) => AsyncIterable<Event>): void {
    this.#pump = this.#owning(() => this.#open(open, history));
  }

  /** Everything offered so far was delivered, or the sink is out. */
  async drained(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump;
  }

  /** The sink's last word before `run.completed`. */
  async beforeCompleted(milliseconds: number): Promise<{ readonly reportPath?: string }> {
    const waited = setTimeout(() => this.#options.onWaitedFor?.(milliseconds), toldWaitMilliseconds);
    try {
      const answer = this.#owning(() => this.#askBeforeCompleted());
      return await withTimeLimit(answer, milliseconds, () => this.#timedOut(milliseconds));
    } catch (error) {
      this.fail(error);
      return {};
    } finally {
      clearTimeout(waited);
    }
  }

  /** Delivers what waits, then closes the sink, also one that failed: of that it is not told again. */
  async close(milliseconds: number): Promise<void> {
    const work = async () => {
      // One that hangs is done with nothing more.
      if (!this.#hasFailed) await this.drained();
      await this.#sink?.close?.();
    };
    try {
      await withTimeLimit(this.#owning(work), milliseconds, () => this.#timedOut(milliseconds));
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#queue.length = 0;
    this.#options.onFailure(error);
  }

  /** What the sink throws where nobody waits for it fails the sink, not the process. */
  #owning<T>(work: () => Promise<T>): Promise<T> {
    const blame = (error: unknown) => {
      this.fail(error);
      return true;
    };
    return blamingStrayErrors(blame, work);
  }

  async #askBeforeCompleted(): Promise<{ readonly reportPath?: string }> {
    await this.drained();
    return (!this.#hasFailed && (await this.#sink?.beforeCompleted?.())) || {};
  }

  async #open(...[open, history]: Parameters<SinkFeed['begin']>): Promise<void> {
    try {
      this.#sink = await open();
      await this.#deliverAll(this.#sink, history(0));
      this.#isInHistory = false;
      if (this.#hasMissed && !this.#hasFailed) {
        // Once: a sink that is still behind after it is slower than the run.
        this.#queue.length = 0;
        await this.#deliverAll(this.#sink, history(this.#lastDelivered, this.#lastOffered));
      }
      await this.#deliverQueue(this.#sink);
    } catch (error) {
      this.fail(error);
    }
    this.#pump = undefined;
  }

  async #deliverAll(sink: Sink, events: AsyncIterable<Event>): Promise<void> {
    for await (const event of events) {
      if (!this.#options.isLeftOut?.(event)) await this.#deliver(sink, event);
      if (this.#hasFailed) break;
    }
  }

  async #deliverQueue(sink: Sink): Promise<void> {
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      const delivered = this.#deliver(sink, event);
      // Most sinks are done at once, and a promise for each event costs more than what they do.
      if (delivered !== undefined) await delivered;
      if (this.#hasFailed) break;
    }
    this.#pump = undefined;
  }

  #deliver(sink: Sink, event: Event): Promise<void> | undefined {
    if (event.sequence <= this.#lastDelivered) return undefined;
    this.#lastDelivered = event.sequence;
    try {
      const taken: unknown = sink.onEvent(event);
      if (taken === undefined) return undefined;
      this.#taking = event;
      const done = () => {
        this.#taking = undefined;
      };
      return Promise.resolve(taken).then(done, (error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  #timedOut(milliseconds: number): Error {
    const at = this.#taking;
    const where = at === undefined ? '' : `: its onEvent has not returned from event ${at.sequence}, ${at.type}`;
    return new UserError('sink_timed_out', `It did not answer within ${milliseconds / 1000} s${where}.`);
  }
}
