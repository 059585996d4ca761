/** Something that costs money and is about to be asked for. */
export interface SpendingRequest {
  /** Who is paid, as events and the report name it: a model, a service. */
  readonly source: string;
  /** The most that it can cost, in dollars; undefined where no price is known. */
  readonly usd: number | undefined;
  /** How long it may take, in seconds: a run that ends early waits as long for what it is paid for. @default 480 */
  readonly seconds?: number;
}

/** What it did cost. Tokens are for the report. */
export interface Spent {
  /** In dollars, at most what was reserved. Absent: no price is known. */
  readonly usd?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
}

/** Dollars set aside for one request. */
export interface Reservation {
  /**
   * Aborted when what was asked for is waited for no longer: some time after the signal of the stage, for it is paid for all
   * the same. Absent: it costs nothing, and ends with the signal of the stage.
   */
  readonly dropped?: AbortSignal;
  /** Tells what it did cost, once it is over, well or badly. Where nobody can know that, it cost the most that it could. */
  settle(spent: Spent): void;
}

/** What a stage or grader spends besides the hardware of its trainers: held below the limits of the run's budget. */
export interface Spending {
  /** Whether dollars are limited: what has no price is refused then. */
  readonly isLimited: boolean;
  /**
   * Sets aside the most that something can cost, before it is asked for. Waits as long as requests under way leave no
   * room and may yet give some back. Every reservation must be settled.
   *
   * @throws UserError `budget_reached` where no room is left: the run ends, and a larger budget goes on;
   * `price_missing` where dollars are limited and the price is not known
   */
  reserve(request: SpendingRequest): Promise<Reservation>;
}
