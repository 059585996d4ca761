import type { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Event } from '../events/catalogue.js';
import { EventMemory } from '../trainer/event-memory.js';
import type { RunInfo } from './run-scope.js';
import { foldRunStates, initialRunState, isDone, type RunState } from './run-state.js';

/** Where a run stands, as its log tells it. */
export class Standing {
  state = initialRunState;
  readonly trainerMemory: ReadonlyMap<string, EventMemory>;

  /** @param trainers of the plan, by name */
  constructor(trainers: readonly string[]) {
    this.trainerMemory = new Map(trainers.map((name) => [name, new EventMemory(name)]));
  }

  /** Takes in what the log says, from its first event on. */
  see(events: readonly Event[]): void {
    this.state = foldRunStates(this.state, events);
    for (const memory of this.trainerMemory.values()) for (const event of events) memory.see(event);
  }
}

/** Of the stages that completed, those whose outputs are there, and what is to be said of the others. */
export async function stagesDone(state: RunState, store: ArtifactStore): Promise<Pick<RunInfo, 'done' | 'warnings'>> {
  const done = new Map<string, Readonly<Record<string, string>>>();
  const warnings: string[] = [];
  for (const [name, stage] of Object.entries(state.stages)) {
    if (!isDone(stage)) continue;
    const uris = Object.values(stage.outputs);
    const areThere = await Promise.all(uris.map((uri) => store.has(uri)));
    if (areThere.every(Boolean)) done.set(name, stage.outputs);
    else warnings.push(`What stage "${name}" made is no longer in the store; it runs again.`);
  }
  return { done, warnings };
}
