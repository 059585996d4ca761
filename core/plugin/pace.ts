import { setImmediate } from 'node:timers/promises';
import type { StageContext } from './definitions.js';

/** Longest that a stage's loop holds the event loop, in milliseconds: live views and Ctrl-C stay quick. */
const longestHold = 20;
const betweenProgress = 500;

/** For a stage that loops over rows: lets other work run, stops on the signal, and says how far it is. */
export interface Pace {
  /** Call once a row, or for some rows at once, and await it. @throws the signal's reason */
  step(figures?: () => Readonly<Record<string, number>>, rows?: number): Promise<void>;
  /** Counts a row that an earlier attempt did: it says nothing about how long the others take. */
  skip(): void;
  /** Rows stepped over so far, skipped ones included. */
  readonly done: number;
  /** Says that it is at the end. Call once, after the last step. */
  finish(figures?: Readonly<Record<string, number>>): Promise<void>;
}

/** A pace for one loop. `total` null: not known beforehand. */
export function pace(
  context: Pick<StageContext<unknown, Record<string, never>>, 'signal' | 'emit'>,
  options: { readonly unit: string; readonly total: number | null },
): Pace {
  const startedAt = performance.now();
  let done = 0;
  let skipped = 0;
  let heldSince = startedAt;
  let toldAt = startedAt;
  const tell = (now: number, figures?: Readonly<Record<string, number>>): Promise<void> => {
    toldAt = now;
    const perSecond = (1000 * (done - skipped)) / Math.max(1, now - startedAt);
    const left = options.total === null ? undefined : (options.total - done) / perSecond;
    return context.emit({
      type: 'stage.progressed',
      data: {
        done,
        total: options.total,
        unit: options.unit,
        perSecond,
        ...(left === undefined || perSecond === 0 ? {} : { secondsLeft: Math.max(0, left) }),
        ...(figures === undefined ? {} : { figures }),
      },
    });
  };
  return {
    get done() {
      return done;
    },
    skip() {
      done++;
      skipped++;
    },
    async step(figures, rows = 1) {
      done += rows;
      const now = performance.now();
      if (now - heldSince < longestHold) return;
      context.signal.throwIfAborted();
      await setImmediate();
      heldSince = performance.now();
      if (heldSince - toldAt >= betweenProgress) await tell(heldSince, figures?.());
    },
    async finish(figures) {
      context.signal.throwIfAborted();
      await tell(performance.now(), figures);
    },
  };
}
