import { setMaxListeners } from 'node:events';
import { longestTimer } from '../../process/longest-timer.js';

/** How long a reply is waited for where the run ends early, if nobody said how long it may take, in seconds. */
const usualPatienceSeconds = 8 * 60;

/** What is waited for where a run ends early. */
interface LastReplies {
  readonly count: number;
  /** Until the last of them is there, or its time is over. */
  readonly seconds: number;
}

/** Requests under way that cost something, or may: what they are answered is paid for, also where the run ends early. */
export class PaidRequests {
  readonly #dropping = new AbortController();
  /** When each may be over at the latest, as `performance.now()` has it. */
  readonly #underWay = new Set<{ readonly endsBy: number; countMost(): void }>();
  #mostMilliseconds = longestTimer;
  #patience: NodeJS.Timeout | undefined;

  constructor() {
    // Each request that is under way listens.
    setMaxListeners(0, this.#dropping.signal);
  }

  /** Aborted when no reply is waited for any more. */
  get dropped(): AbortSignal {
    return this.#dropping.signal;
  }

  /**
   * @param countMost is called where nobody says until the end what it did cost
   * @param seconds how long it may take
   * @returns what is called when it is over, once
   */
  begin(countMost: () => void, seconds = usualPatienceSeconds): () => void {
    const request = { endsBy: performance.now() + 1000 * seconds, countMost };
    this.#underWay.add(request);
    return () => void this.#underWay.delete(request);
  }

  /** The run ends early: from here on replies are waited for as long as each may take. */
  waitForLast(): LastReplies {
    const latest = Math.max(0, ...[...this.#underWay].map(({ endsBy }) => endsBy - performance.now()));
    const milliseconds = Math.min(latest, this.#mostMilliseconds);
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => this.drop(), milliseconds);
    this.#patience.unref();
    return { count: this.#underWay.size, seconds: milliseconds / 1000 };
  }

  /** They are waited for no longer than this, also where they are waited for already. */
  waitAtMost(seconds: number): void {
    this.#mostMilliseconds = Math.min(this.#mostMilliseconds, 1000 * seconds);
    if (this.#patience !== undefined) this.waitForLast();
  }

  /** Waits for no reply any more. May be called again. */
  drop(): void {
    clearTimeout(this.#patience);
    this.#dropping.abort(new Error('the run has ended'));
  }

  /** Nobody is left who would wait: a stage may have failed before what it asked for was answered. */
  end(): void {
    this.drop();
    for (const { countMost } of this.#underWay) countMost();
  }
}
