import type { Event, SinkContext } from 'simmerkit';
import type { Summary } from './event-messages.js';
import { trainingSummary } from './run-summaries.js';

/** The trainings of other runs, whose models were reused; each log is read once. */
export class MadeTrainings {
  readonly #eventsOf: SinkContext['eventsOf'];
  /** By run, then by stage key. */
  readonly #runs = new Map<string, ReadonlyMap<string, readonly Summary[]>>();

  constructor(eventsOf: SinkContext['eventsOf']) {
    this.#eventsOf = eventsOf;
  }

  /** What was trained under a stage key; nothing where nothing was, or where the run's log is gone. */
  async of(runId: string, key: string): Promise<readonly Summary[]> {
    const known = this.#runs.get(runId) ?? (await trainingsIn(this.#eventsOf(runId)));
    this.#runs.set(runId, known);
    return known.get(key) ?? [];
  }
}

async function trainingsIn(events: AsyncIterable<Event>): Promise<ReadonlyMap<string, readonly Summary[]>> {
  const keys = new Map<string, string>();
  const trainings = new Map<string, Summary[]>();
  for await (const event of events) {
    if (event.type === 'stage.started') keys.set(event.stage ?? '', event.data.key);
    if (event.type !== 'step.logged' && event.type !== 'evaluation.logged') continue;
    const key = keys.get(event.stage ?? '') ?? '';
    const summaries = trainings.get(key) ?? [];
    summaries.push(trainingSummary(event));
    trainings.set(key, summaries);
  }
  return trainings;
}
