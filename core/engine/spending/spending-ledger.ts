import type { EventData } from '../../events/catalogue.js';
import type { Spent } from '../../plugin/spending.js';
import type { SpendingState } from './spending-state.js';

/** Hardware as it is paid for. */
interface HeldHardware {
  readonly gpus: number;
  readonly usdPerHour: number;
}

/** What is to be told as one `budget.spent`. */
export type Slice = Omit<EventData['budget.spent'], 'total'>;

interface Counting extends HeldHardware {
  /** Milliseconds since 1970. */
  since: number;
}

/** What a run has spent up to any moment. Times are milliseconds since 1970; the caller has the clock. */
export class SpendingLedger {
  #usd: number;
  #gpuHours: number;
  #inFlightUsd = 0;
  #inFlight = 0;
  readonly #held = new Map<string, Counting>();
  readonly #unreported = new Map<string, Required<Spent>>();

  /** @param before what the log says; hardware that it believes to be held is left to the caller */
  constructor(before: SpendingState) {
    this.#usd = before.usd + before.reservedUsd;
    this.#gpuHours = before.gpuHours;
  }

  get inFlightUsd(): number {
    return this.#inFlightUsd;
  }

  /** Of requests: under way, or over and not in the log yet. */
  get outstandingUsd(): number {
    return [...this.#unreported.values()].reduce((sum, { usd }) => sum + usd, this.#inFlightUsd);
  }

  get usdPerHour(): number {
    return [...this.#held.values()].reduce((sum, { usdPerHour }) => sum + usdPerHour, 0);
  }

  get gpus(): number {
    return [...this.#held.values()].reduce((sum, { gpus }) => sum + gpus, 0);
  }

  isHeld(holder: string): boolean {
    return this.#held.has(holder);
  }

  /** Without what requests under way may still cost. */
  usdAt(now: number): number {
    return this.#sumAt(now, this.#usd, ({ usdPerHour }) => usdPerHour);
  }

  gpuHoursAt(now: number): number {
    return this.#sumAt(now, this.#gpuHours, ({ gpus }) => gpus);
  }

  hold(holder: string, hardware: HeldHardware, since: number): void {
    this.#held.set(holder, { ...hardware, since });
  }

  /** Takes what it cost since it was last counted. */
  take(holder: string, now: number): Slice | undefined {
    const held = this.#held.get(holder);
    if (held === undefined) return undefined;
    // A clock that was set back counts for nothing.
    const until = Math.max(held.since, now);
    const seconds = (until - held.since) / 1000;
    const usd = (held.usdPerHour * seconds) / 3600;
    const gpuHours = (held.gpus * seconds) / 3600;
    held.since = until;
    this.#usd += usd;
    this.#gpuHours += gpuHours;
    return { source: holder, usd, gpuHours, seconds, until: new Date(until).toISOString() };
  }

  release(holder: string, now: number): Slice | undefined {
    const slice = this.take(holder, now);
    this.#held.delete(holder);
    return slice;
  }

  /** Takes everything that is not in the log yet. */
  takeAll(now: number): readonly Slice[] {
    const hardware = [...this.#held.keys()].map((holder) => this.take(holder, now)!);
    const requests = [...this.#unreported].map(([source, spent]) => ({ source, gpuHours: 0, ...spent }));
    this.#unreported.clear();
    return [...hardware, ...requests];
  }

  begin(usd: number): void {
    this.#inFlightUsd += usd;
    this.#inFlight++;
  }

  end(source: string, reserved: number, { usd = 0, inputTokens = 0, outputTokens = 0 }: Spent): void {
    this.#inFlight--;
    // What sums are rounded to is not set aside: who waits for room would wait for ever.
    this.#inFlightUsd = this.#inFlight === 0 ? 0 : this.#inFlightUsd - reserved;
    this.#usd += usd;
    const before = this.#unreported.get(source) ?? { usd: 0, inputTokens: 0, outputTokens: 0 };
    this.#unreported.set(source, {
      usd: before.usd + usd,
      inputTokens: before.inputTokens + inputTokens,
      outputTokens: before.outputTokens + outputTokens,
    });
  }

  #sumAt(now: number, counted: number, rate: (held: Counting) => number): number {
    return [...this.#held.values()].reduce(
      (sum, held) => sum + (rate(held) * Math.max(0, now - held.since)) / 3_600_000,
      counted,
    );
  }
}
