import { inject, injectable } from 'inversify';
import { usdPerHour } from '../../config/hardware.js';
import { canonicalJson } from '../../document/canonical-json.js';
import { UserError } from '../../errors.js';
import { formatCounted, formatUsd } from '../../figures.js';
import { checkSpendingRequest, checkSpent } from '../../plugin/check-spending.js';
import type { Resources } from '../../plugin/resources.js';
import type { Reservation, Spending, SpendingRequest, Spent } from '../../plugin/spending.js';
import { present } from '../../present.js';
import { type BudgetLimits, changedLimits, defaultReserve } from '../../recipe/budget.js';
import { SteadyClock } from '../../steady-clock.js';
import { RunEnding } from '../run-ending.js';
import { RunRecorder } from '../run-recorder.js';
import type { RunInfo } from '../run-scope.js';
import { RunInfoToken } from '../tokens.js';
import { type Activity, budgetReached, type Standing, secondsLeft, secondsToEnd, shortOf } from './budget-limits.js';
import { PaidRequests } from './paid-requests.js';
import { type Slice, SpendingLedger } from './spending-ledger.js';

/** How often it is looked at what is spent, and how often that is told, in milliseconds. */
const lookMilliseconds = 1_000;
const tellMilliseconds = 5_000;
/** How long before a limit what does not end by itself is killed, in seconds. */
const killSeconds = 1;
/** What is set aside at a time for requests grows by this, so that it is told seldom. */
const reservedGrowth = 1.5;

/** Who holds hardware, and how it is ended where it does not end by itself. */
export interface Holder {
  /** "trainer NAME" or "stage NAME". */
  readonly name: string;
  readonly resources: Resources;
  /** How long the hardware may be held on where the core is gone. */
  readonly unattendedSeconds: number;
  kill?(): Promise<unknown>;
}

/** Where a request belongs. */
interface Asker {
  readonly stage: string;
  readonly attempt: number;
}

/**
 * Counts what the run spends, and ends it before a limit of its budget is passed, early enough for a step, a checkpoint
 * and the shutdown. What it counts goes to the log, from which the next core goes on.
 */
@injectable()
export class BudgetGuard {
  readonly #run: RunInfo;
  readonly #recorder: RunRecorder;
  readonly #ending: RunEnding;
  readonly #ledger: SpendingLedger;
  readonly #limits: BudgetLimits;
  readonly #clock = new SteadyClock();
  readonly #openedAt = this.#clock.now();
  readonly #holders = new Map<string, Holder>();
  readonly #askers = new Map<string, Asker>();
  /** Holder to when it was asked to end. */
  readonly #stopping = new Map<string, number>();
  readonly #paid = new PaidRequests();
  #toldAt = this.#clock.now();
  #reserved = 0;
  #reservedTold: Promise<void> = Promise.resolve();
  #trainings = 0;
  #waiting: (() => void)[] = [];
  #looking: NodeJS.Timeout | undefined;
  #isKilling = false;
  #isClosed = false;

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(RunEnding) ending: RunEnding,
  ) {
    this.#run = run;
    this.#recorder = recorder;
    this.#ending = ending;
    const { spending } = run.state;
    this.#ledger = new SpendingLedger(spending);
    const { usd, gpuHours, wallClockSeconds } = run.plan.budget ?? {};
    const planned = present({ usd, gpuHours, wallClockSeconds });
    this.#limits = changedLimits(spending.limits ?? planned, run.budgetChange ?? {});
    ending.signal.addEventListener('abort', () => this.#endEarly(), { once: true });
  }

  /** Tells the limits, and begins to look. After `run.started`. */
  async begin(): Promise<void> {
    if (canonicalJson(this.#limits) !== canonicalJson(this.#run.state.spending.limits ?? {})) {
      await this.#recorder.emit({ type: 'budget.set', data: this.#limits });
    }
    const standings = this.#standings(this.#clock.now());
    const [reached, ...others] = standings.filter(({ spent, atMost }) => spent > 0 && spent >= atMost);
    if (reached !== undefined) this.#end(reached, 'nothing is left', others);
    this.#look();
  }

  /** What a stage, or a grader that it asks, spends by itself. */
  spendingOf(asker: Asker): Spending {
    return { isLimited: this.#limits.usd !== undefined, reserve: (request) => this.#reserve(request, asker) };
  }

  /**
   * Counts hardware from now on; durable when it resolves. Does nothing where it costs nothing and has no accelerators.
   * @throws UserError `budget_reached` where there is too little for a step, a checkpoint and the end
   */
  async hold(holder: Holder): Promise<void> {
    const { name, resources, unattendedSeconds } = holder;
    this.#holders.set(name, holder);
    if (this.#ledger.isHeld(name)) return;
    const { gpus = 0, nodes = 1, hardware } = resources;
    const price = usdPerHour(this.#run.plan.hardware?.[hardware ?? ''], resources) ?? 0;
    if (gpus === 0 && price === 0) return;
    const now = this.#clock.now();
    this.#ledger.hold(name, { gpus, usdPerHour: price }, now);
    try {
      this.#refuseWhereShort(now, `${name} needs more than what is left to start, work and end`);
      const data = { holder: name, ...(hardware === undefined ? {} : { hardware }), gpus, nodes, usdPerHour: price };
      await this.#recorder.emit({ type: 'hardware.held', data: { ...data, unattendedSeconds } });
      this.#look();
    } catch (error) {
      this.#ledger.release(name, now);
      this.#holders.delete(name);
      throw error;
    }
  }

  /** Goes on counting what an earlier core took and what is still held. */
  adopt(name: string, kill?: () => Promise<unknown>): void {
    const holding = this.#run.state.spending.holdings[name];
    if (holding === undefined || this.#ledger.isHeld(name)) return;
    // Where the clock was set back meanwhile, it is counted from now on, and not once it is as late again.
    this.#ledger.hold(name, holding, Math.min(Date.parse(holding.countedUntil), this.#clock.now()));
    this.#holders.set(name, {
      name,
      resources: holding,
      unattendedSeconds: holding.unattendedSeconds,
      ...(kill && { kill }),
    });
  }

  /** Counts what an earlier core took, up to when it ended at the latest, in milliseconds since 1970. */
  async settleFormer(name: string, endedBy: number): Promise<void> {
    this.adopt(name);
    const slice = this.#ledger.release(name, endedBy);
    if (slice === undefined) return;
    await this.#tell({ ...slice, unattended: true });
    await this.#recorder.emit({ type: 'hardware.released', data: { holder: name } });
  }

  /**
   * Does work that can only be broken off at the end of a step, with a checkpoint: from its first moment on so much is
   * kept back. @throws UserError `budget_reached` where there is too little to begin
   */
  async whileTraining<T>(train: () => Promise<T>): Promise<T> {
    this.#refuseWhereShort(this.#clock.now(), 'a step of training, its checkpoint and the end need more');
    this.#trainings += 1;
    try {
      this.#look();
      return await train();
    } finally {
      this.#trainings -= 1;
    }
  }

  /** It is asked to end: from here on its end is measured. */
  stopping(name: string): void {
    this.#stopping.set(name, this.#clock.now());
  }

  /** The hardware is free again. May be called again. */
  async release(name: string): Promise<void> {
    const askedAt = this.#stopping.get(name);
    this.#holders.delete(name);
    this.#stopping.delete(name);
    const slice = this.#ledger.release(name, this.#clock.now());
    if (slice === undefined) return;
    const data = {
      holder: name,
      ...(askedAt === undefined ? {} : { stopSeconds: (this.#clock.now() - askedAt) / 1000 }),
    };
    await Promise.all([this.#tell(slice), this.#recorder.emit({ type: 'hardware.released', data })]);
    this.#wake();
  }

  /** Tells what was not told yet. After everything that spends has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#looking);
    this.#paid.end();
    await this.#tellAll(this.#clock.now());
  }

  /** Where the run ends early, replies that are under way are waited for no longer than this. */
  waitAtMost(seconds: number): void {
    this.#paid.waitAtMost(seconds);
  }

  /** Replies that are under way are waited for no longer. */
  dropReplies(): void {
    this.#paid.drop();
  }

  async #reserve(request: SpendingRequest, asker: Asker): Promise<Reservation> {
    checkSpendingRequest(request);
    const { source, usd: most, seconds } = request;
    if (most === undefined && this.#limits.usd !== undefined) {
      throw new UserError('price_missing', `${source} has no price, and the budget limits dollars.`, {
        hint: 'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars; zeros for a server of your own.',
      });
    }
    const reserved = most ?? 0;
    await this.#begin(source, reserved);
    this.#askers.set(source, asker);
    await this.#tellReserved();
    if (this.#ending.signal.aborted) {
      // Meanwhile: what was not asked for yet is asked for no more.
      this.#ledger.end(source, reserved, { usd: 0 });
      this.#wake();
      this.#ending.signal.throwIfAborted();
    }
    const isPaid = most === undefined || most > 0;
    const costMost: Spent = { usd: reserved };
    let isSettled = false;
    const settle = (spent: Spent) => {
      if (isSettled) return;
      isSettled = true;
      isOver?.();
      // Where it says nothing that can be counted, it cost the most that it could.
      let counted = costMost;
      try {
        checkSpent(source, spent);
        counted = spent;
      } finally {
        this.#ledger.end(source, reserved, counted);
        this.#wake();
      }
    };
    const isOver = isPaid ? this.#paid.begin(() => settle(costMost), seconds) : undefined;
    return { ...(isPaid ? { dropped: this.#paid.dropped } : {}), settle };
  }

  /** Sets so many dollars aside, once there is room for them: at once, so that no other request takes the same room. */
  async #begin(source: string, most: number): Promise<void> {
    for (;;) {
      this.#ending.signal.throwIfAborted();
      const standing = this.#standings(this.#clock.now()).find(({ limit }) => limit === 'usd');
      if (standing === undefined || most === 0) return this.#ledger.begin(most);
      const needed = standing.spent + standing.perSecond * this.#secondsToEnd() + most;
      if (needed <= standing.atMost) return this.#ledger.begin(most);
      if (this.#ledger.inFlightUsd === 0)
        throw this.#end({ ...standing, needed }, `the next request of ${source} may cost ${formatUsd(most)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** No request is made before the log holds the most that it and the others may cost. */
  async #tellReserved(): Promise<void> {
    if (this.#ledger.outstandingUsd > this.#reserved) this.#reservedTold = this.#tellAll(this.#clock.now());
    // What another request had set aside may have room for this one, and not be in the log yet.
    await this.#reservedTold;
  }

  /** What the log is to hold of requests under way, once it holds what the others did cost. */
  #toReserve(now: number): number {
    const inFlight = this.#ledger.inFlightUsd;
    const left = (this.#limits.usd ?? Number.POSITIVE_INFINITY) - this.#ledger.usdAt(now);
    // A core that is killed now has all of it counted: no more than the limit, nor far more than is under way.
    const isMuch = this.#reserved > Math.min(left, 2 * reservedGrowth * inFlight);
    if (inFlight <= this.#reserved && !isMuch) return this.#reserved;
    return Math.max(inFlight, Math.min(reservedGrowth * inFlight, left));
  }

  /** Nothing new is asked for. What is asked already is paid for, whether somebody waits for it or not. */
  #endEarly(): void {
    this.#wake();
    const { count, seconds } = this.#paid.waitForLast();
    if (count === 0) return;
    const [what, them] = count === 1 ? ['a reply that is', 'it'] : [`${count} replies that are`, 'them'];
    const minutes = Math.max(1, Math.ceil(seconds / 60));
    const how = this.#run.isAttended ? 'a second Ctrl-C' : `\`simmer cancel ${this.#run.runId} --now\``;
    this.#recorder
      .log({ source: 'engine' })
      .warning(`Waiting for ${what} paid for, at most ${formatCounted(minutes, 'minute')}; ${how} drops ${them}.`);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Looks where the run stands, ends it where a limit is near, and says when to look again. */
  #look(): void {
    clearTimeout(this.#looking);
    if (this.#isClosed) return;
    const now = this.#clock.now();
    const standings = this.#standings(now);
    let next = lookMilliseconds;
    for (const standing of standings) {
      const left = secondsLeft(standing, this.#ending.signal.aborted ? killSeconds : this.#secondsToEnd());
      next = Math.min(next, 1000 * left);
      if (left > 0) continue;
      if (this.#ending.signal.aborted) this.#kill();
      else this.#endWhereShort(now, 'the rest is kept for a checkpoint and an orderly end');
    }
    if (now - this.#toldAt >= tellMilliseconds) void this.#tellAll(now).catch(() => undefined);
    this.#looking = setTimeout(() => this.#look(), Math.max(this.#isKilling ? lookMilliseconds : 20, next));
    this.#looking.unref();
  }

  async #tellAll(now: number): Promise<void> {
    this.#toldAt = now;
    const slices = [...this.#ledger.takeAll(now)];
    // So that no more time of a run can be lost to a kill than lies between two of them.
    const isSilent = slices.length === 0 && this.#limits.wallClockSeconds !== undefined;
    const told: Promise<unknown>[] = slices.map((slice) => this.#tell(slice));
    if (isSilent) told.push(this.#tell({ source: 'time', usd: 0, gpuHours: 0 }));
    const reserved = this.#toReserve(now);
    if (reserved !== this.#reserved) {
      this.#reserved = reserved;
      told.push(this.#recorder.emit({ type: 'budget.reserved', data: { usd: reserved } }));
    }
    await Promise.all(told);
  }

  async #tell(slice: Slice): Promise<void> {
    const now = this.#clock.now();
    const total = {
      usd: this.#ledger.usdAt(now),
      gpuHours: this.#ledger.gpuHoursAt(now),
      wallClockSeconds: this.#wallClockSeconds(now),
    };
    const asker = this.#askers.get(slice.source) ?? {};
    await this.#recorder.emit({ type: 'budget.spent', ...asker, data: { ...slice, total } });
  }

  /** Ends what does not end by itself: an older checkpoint, or a reply lost, is better than a bill that is too high. */
  #kill(): void {
    if (this.#isKilling) return;
    this.#isKilling = true;
    this.#paid.drop();
    for (const { name, kill } of this.#holders.values()) {
      if (kill === undefined) continue;
      this.#recorder
        .log({ source: 'engine' })
        .warning(`${name} did not end in time and is killed: the budget is used up.`);
      void kill().catch(() => undefined);
    }
  }

  /** Where what is left is no more than a step, a checkpoint and the end take. */
  #refuseWhereShort(now: number, why: string): void {
    const error = this.#endWhereShort(now, why, { isHolding: true, isTraining: true });
    if (error !== undefined) throw error;
  }

  /** Ends it where no more is left than the way to an orderly end takes. */
  #endWhereShort(now: number, why: string, activity?: Activity): UserError | undefined {
    const [short, ...others] = shortOf(this.#standings(now), this.#secondsToEnd(activity));
    return short && this.#end(short, why, others);
  }

  #end(standing: Standing, why: string, others?: readonly Standing[]): UserError {
    const error = budgetReached(this.#run.runId, standing, why, others);
    this.#ending.limit('the budget is used up', error);
    return error;
  }

  #secondsToEnd(activity?: Activity): number {
    const { longest } = this.#recorder.state.spending;
    const reserve = this.#run.plan.budget?.reserve ?? defaultReserve;
    const present = { isHolding: this.#holders.size > 0, isTraining: this.#trainings > 0 };
    return secondsToEnd(longest, reserve, activity ?? present);
  }

  #standings(now: number): readonly Standing[] {
    const { usd: dollars, gpuHours, wallClockSeconds } = this.#limits;
    const ledger = this.#ledger;
    const standings: Standing[] = [];
    if (dollars !== undefined) {
      const spent = ledger.usdAt(now) + ledger.inFlightUsd;
      standings.push({ limit: 'usd', atMost: dollars, spent, perSecond: ledger.usdPerHour / 3600 });
    }
    if (gpuHours !== undefined) {
      const spent = ledger.gpuHoursAt(now);
      standings.push({ limit: 'gpuHours', atMost: gpuHours, spent, perSecond: ledger.gpus / 3600 });
    }
    if (wallClockSeconds !== undefined) {
      const spent = this.#wallClockSeconds(now);
      standings.push({ limit: 'wallClockSeconds', atMost: wallClockSeconds, spent, perSecond: 1 });
    }
    return standings;
  }

  #wallClockSeconds(now: number): number {
    return this.#run.state.activeSeconds + Math.max(0, now - this.#openedAt) / 1000;
  }
}
