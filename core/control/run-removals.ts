import { join } from 'node:path';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Holds } from '../artifacts/holds.js';
import type { Settings } from '../config/settings.js';
import { type Removal, removeRuns } from '../engine/past-runs/remove-runs.js';
import { retiredRuns } from '../engine/run-folder.js';
import type { RunOfHome } from '../engine/run-outcome.js';
import { UserError } from '../errors.js';
import type { ServerLimits } from './limits.js';
import { oneLine } from './run-news.js';
import { Turns } from './turns.js';

/** Each takes a lock, which is an open socket of the server's. */
const mostRuns = 1000;

interface RunRemovalsOptions {
  readonly settings: Pick<Settings, 'home'>;
  readonly limits: Pick<ServerLimits, 'waitingRemovals'>;
  /** Of all stores of the server that runs use. */
  readonly holds: Holds;
  log(message: string): void;
}

/** What a removal asks of the server's runs. */
interface RemovableRuns {
  list(): Promise<readonly RunOfHome[]>;
  /** @throws UserError where a run waits or runs here, or is about to; or nothing is begun any more */
  refuseInHand(runId: string): void;
  forget(run: RunOfHome): void;
}

/** Removes runs from a server's home, one call after the other, beside those that go on. */
export class RunRemovals {
  readonly #home: string;
  readonly #holds: Holds;
  readonly #runs: RemovableRuns;
  readonly #log: (message: string) => void;
  readonly #turns: Turns;
  /** Runs that are being removed. */
  readonly #underWay = new Map<string, Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor({ settings, limits, holds, log }: RunRemovalsOptions, runs: RemovableRuns) {
    this.#home = settings.home;
    this.#holds = holds;
    this.#runs = runs;
    this.#log = log;
    const refusal = { code: 'too_many_removals', waitFor: 'removals wait' };
    this.#turns = new Turns({ atATime: 1, mostWaiting: limits.waitingRemovals, refusal });
  }

  /**
   * Removes runs, or says what would go. Ids of no run are passed over: they may have been removed before.
   * @throws UserError `too_many_runs`, `too_many_removals`, and as `removeRuns` and `refuseInHand`
   */
  remove(runIds: readonly string[], dryRun: boolean): Promise<Removal> {
    if (!dryRun && runIds.length > mostRuns) {
      const message = `${runIds.length} runs are more than the ${mostRuns} that one call removes.`;
      return Promise.reject(new UserError('too_many_runs', message, { hint: 'Remove them in several calls.' }));
    }
    const removal = this.#turns.take(() => this.#remove(new Set(runIds), dryRun));
    this.#last = Promise.allSettled([this.#last, removal]);
    return removal;
  }

  /** Resolves when a run is removed, or stays; undefined where it is not being removed. */
  of(runId: string): Promise<unknown> | undefined {
    return this.#underWay.get(runId);
  }

  /**
   * Removes what is left of removed runs: a process was killed at it, or runs used it that have told of it by now. Never
   * rejects: what cannot go now stays for the next time.
   */
  async finish(): Promise<void> {
    try {
      if ((await retiredRuns(join(this.#home, 'runs'))).length > 0) await this.remove([], false);
    } catch (error) {
      this.#log(`What is left of removed runs stays for now: ${oneLine(String(error))}`);
    }
  }

  /** Resolves when all that was asked for is done, or refused. */
  async ended(): Promise<void> {
    await this.#last;
  }

  async #remove(runIds: ReadonlySet<string>, dryRun: boolean): Promise<Removal> {
    const runs = runIds.size === 0 ? [] : (await this.#runs.list()).filter(({ runId }) => runIds.has(runId));
    const store = await ArtifactStore.open(this.#home, this.#holds);
    // From here to where it is noted that they are being removed nothing else comes in between.
    for (const { runId } of runs) this.#runs.refuseInHand(runId);
    const removal = removeRuns(runs, { store, dryRun, isServer: true });
    const decided = removal.catch(() => undefined);
    for (const { runId } of dryRun ? [] : runs) this.#underWay.set(runId, decided);
    try {
      const removed = await removal;
      for (const run of dryRun ? [] : runs) this.#runs.forget(run);
      return removed;
    } finally {
      for (const { runId } of runs) this.#underWay.delete(runId);
    }
  }
}
