import type { Observable } from 'rxjs';
import type { StageCacheEntry } from '../artifacts/artifact-store.js';
import type { Event, EventDraft } from '../events/catalogue.js';

/** A stage that warns of every row is not kept whole. */
const mostKept = 20;

/**
 * What is warned of one attempt of a stage, each once: kept beside its facts, for whoever reuses the stage. The engine's own
 * lines are about the run, and not among them.
 */
export class StageWarnings implements Disposable {
  readonly #found = new Map<string, EventDraft<'log.written'>>();
  readonly #subscription: { unsubscribe(): void };

  constructor(batches$: Observable<readonly Event[]>, stage: string, attempt: number) {
    this.#subscription = batches$.subscribe((events) => {
      for (const event of events) if (event.stage === stage && event.attempt === attempt) this.#add(event);
    });
  }

  /** Of the events that were durable when this is called. */
  get found(): readonly EventDraft<'log.written'>[] {
    return [...this.#found.values()];
  }

  #add({ type, data }: Event): void {
    if (type !== 'log.written' || data.source === 'engine' || this.#found.size === mostKept) return;
    const { level, source, message } = data;
    if (level === 'warning' || level === 'error') this.#found.set(message, { type, data: { level, source, message } });
  }

  [Symbol.dispose](): void {
    this.#subscription.unsubscribe();
  }
}

/**
 * What a run tells of a stage that it reuses. A warning says of when it is; one of the run itself, which was killed before it
 * could say that the stage is done, is in its log already.
 *
 * @param name what the stage is called in this run: a step of its rows that has the stage's name is called so, too
 */
export function toldAgain(
  { facts, runId: madeBy, stage }: StageCacheEntry,
  runId: string,
  name: string,
): readonly EventDraft[] {
  return facts.flatMap((fact): readonly EventDraft[] => {
    if (fact.type === 'funnel.counted' && fact.data.step === stage) {
      return [{ ...fact, data: { ...fact.data, step: name } }];
    }
    if (fact.type !== 'log.written') return [fact];
    const message = `When ${madeBy} made this: ${fact.data.message}`;
    return madeBy === runId ? [] : [{ ...fact, data: { ...fact.data, message } }];
  });
}
