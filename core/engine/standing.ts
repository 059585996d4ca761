import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { readEvents } from '../events/replay.js';
import { EventMemory } from '../trainer/event-memory.js';
import { eventsFile } from './run-folder.js';
import type { RunInfo } from './run-scope.js';
import { foldRunState, initialRunState, isDone, type RunState } from './run-state.js';

/** Where a run stands: what its log says, and which of its stages need not run again. @param trainers of the plan, by name */
export async function readStanding(
  runFolder: string,
  trainers: readonly string[],
  store: ArtifactStore,
): Promise<Pick<RunInfo, 'state' | 'trainerMemory' | 'done' | 'warnings'>> {
  let state = initialRunState;
  const trainerMemory = new Map(trainers.map((name) => [name, new EventMemory(name)]));
  for await (const event of readEvents(eventsFile(runFolder))) {
    state = foldRunState(state, event);
    for (const memory of trainerMemory.values()) memory.see(event);
  }
  return { state, trainerMemory, ...(await stagesDone(state, store)) };
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
