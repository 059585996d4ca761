import { join } from 'node:path';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { UserError } from '../errors.js';
import { acquireRunLock, readRunOwner } from '../events/run-lock.js';
import { removeRunFolder } from './run-folder.js';
import { readRunState } from './run-history.js';
import type { RunSummary } from './run-outcome.js';
import type { RunState, StageStatus } from './run-state.js';

/** What goes with runs. */
export interface Removal {
  readonly runs: readonly string[];
  /** URIs of what no other run has made or reused. */
  readonly artifacts: readonly string[];
  /** Of these artifacts. */
  readonly bytes: number;
}

interface RemoveOptions {
  readonly store: ArtifactStore;
  /** All runs of the home. */
  readonly all: readonly RunSummary[];
  /** Only says what would be removed. */
  readonly dryRun: boolean;
}

/**
 * Removes runs, the artifacts that only they have, and what their unfinished stages kept to go on from. The same stages
 * are run again where they are asked for again. Whoever is killed at it leaves runs that can be removed again.
 * @throws UserError `runs_under_way`, `run_locked`
 */
export async function removeRuns(
  removed: readonly RunSummary[],
  { store, all, dryRun }: RemoveOptions,
): Promise<Removal> {
  await refuseWhileRunning(store.home, all);
  const names = new Set(removed.map(({ runId }) => runId));
  const kept = { uris: new Set<string>(), unfinished: new Set<string>() };
  for (const { runId, runFolder } of all) {
    if (names.has(runId)) continue;
    const state = await readRunState(runFolder);
    for (const uri of outputsOf(state)) kept.uris.add(uri);
    for (const key of unfinishedKeys(state)) kept.unfinished.add(key);
  }
  const states = await Promise.all(removed.map(({ runFolder }) => readRunState(runFolder)));
  const artifacts = [...new Set(states.flatMap(outputsOf))].filter((uri) => !kept.uris.has(uri));
  const scratch = states.flatMap(unfinishedKeys).filter((key) => !kept.unfinished.has(key));
  const bytes = await store.sizeOf(artifacts);
  if (!dryRun) {
    await store.remove(artifacts, scratch);
    for (const { runFolder } of removed) {
      await using _lock = await acquireRunLock(runFolder);
      await removeRunFolder(runFolder);
    }
  }
  return { runs: [...names], artifacts, bytes };
}

/** A run may reuse at any moment what another one has made. */
async function refuseWhileRunning(home: string, all: readonly RunSummary[]): Promise<void> {
  const running = all.find(({ status }) => status === 'running');
  const isServed = (await readRunOwner(join(home, 'server')))?.alive === true;
  if (running === undefined && !isServed) return;
  const who = running === undefined ? 'a server uses this home' : `${running.runId} is running`;
  throw new UserError('runs_under_way', `Nothing is removed while ${who}: it may reuse what would go.`, {
    kind: 'environment',
    hint: running === undefined ? 'Stop the server first.' : `Wait for it, or: simmer cancel ${running.runId}`,
  });
}

function outputsOf({ stages }: RunState): readonly string[] {
  return Object.values(stages).flatMap(({ outputs }) => Object.values(outputs));
}

function unfinishedKeys({ stages }: RunState): readonly string[] {
  return Object.values(stages).flatMap(({ status, key }) => (unfinished.has(status) && key !== '' ? [key] : []));
}

const unfinished: ReadonlySet<StageStatus> = new Set(['running', 'failed', 'interrupted']);
