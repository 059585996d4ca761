import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isUserError, UserError } from '../../errors.js';
import { readEvents } from '../../events/replay.js';
import { acquireRunLock, type RunLock, readRunOwner } from '../../process/run-lock.js';
import { eventsFile, linkedOutputs, removeRunFolder, runIds } from '../run-folder.js';
import { isLogAbsent } from '../run-history.js';
import type { RunSummary } from '../run-outcome.js';

/** What goes with runs. */
export interface Removal {
  readonly runs: readonly string[];
  /** URIs of what no other run has made or reused. */
  readonly artifacts: readonly string[];
  /** Of these artifacts. */
  readonly bytes: number;
  /** Other runs that reused stages of these: how those were made, their reports can no longer tell. */
  readonly reusedBy: readonly string[];
}

interface RemoveOptions {
  readonly store: ArtifactStore;
  /** Only says what would be removed. */
  readonly dryRun: boolean;
}

/**
 * Removes runs, the artifacts that only they have, and what only their stages and graders kept, to go on from or since it
 * was paid for. The same stages are run again where they are asked for again. Whoever is killed at it leaves runs that can
 * be removed again.
 * @throws UserError `runs_under_way`, `run_locked`
 */
export async function removeRuns(removed: readonly RunSummary[], { store, dryRun }: RemoveOptions): Promise<Removal> {
  const traces = new RunTraces(store.home);
  if (dryRun) return (await lookAt(removed, store, traces)).removal;
  const locks: RunLock[] = [];
  try {
    for (const { runFolder } of removed) locks.push(await acquireRunLock(runFolder));
    const first = await lookAt(removed, store, traces);
    await store.stages.forget(new Set(first.removal.artifacts));
    // From now on nobody finds them. Who found them before has taken its run up, and is seen.
    const { removal, stageKeys } = await lookAt(removed, store, traces);
    await store.remove(removal.artifacts, [...stageKeys, ...removal.runs]);
    for (const { runFolder } of removed) await removeRunFolder(runFolder);
    return removal;
  } finally {
    for (const lock of locks) await lock[Symbol.asyncDispose]();
  }
}

/** What would go, by the logs of all runs. @throws UserError `runs_under_way` */
async function lookAt(
  removed: readonly RunSummary[],
  store: ArtifactStore,
  traces: RunTraces,
): Promise<{ readonly removal: Removal; readonly stageKeys: readonly string[] }> {
  const runs = removed.map(({ runId }) => runId);
  const ids = (await runIds(join(store.home, 'runs'))).filter((runId) => !runs.includes(runId));
  const others = ids.map((runId) => ({ runId, runFolder: store.runFolder(runId) }));
  await refuseWhileRunning(store.home, others);
  const gone: Traces[] = [];
  for (const { runFolder } of removed) gone.push(await traces.of(runFolder));
  const kept = new Map<string, Traces>();
  for (const { runId, runFolder } of others) kept.set(runId, await traces.of(runFolder));
  const keptTraces = [...kept.values()];
  const keptUris = await store.withReferences(keptTraces.flatMap(({ uris }) => uris));
  const keptKeys = new Set(keptTraces.flatMap(({ stageKeys }) => stageKeys));
  const artifacts = [...new Set(gone.flatMap(({ uris }) => uris))].filter((uri) => !keptUris.has(uri));
  const stageKeys = gone.flatMap(({ stageKeys }) => stageKeys).filter((key) => !keptKeys.has(key));
  const reusedBy = [...kept].flatMap(([run, { reused }]) => (reused.some((id) => runs.includes(id)) ? [run] : []));
  return { removal: { runs, artifacts, bytes: await store.sizeOf(artifacts), reusedBy }, stageKeys };
}

/** What a run left outside of its folder, and what it took from others. */
interface Traces {
  readonly uris: readonly string[];
  /** Of the stages that it came to. */
  readonly stageKeys: readonly string[];
  /** Runs whose stages it reused. */
  readonly reused: readonly string[];
}

const noTraces: Traces = { uris: [], stageKeys: [], reused: [] };

/** The traces of the runs of a home. Of a log that has not grown they are not read again: a home may have thousands. */
class RunTraces {
  readonly #home: string;
  readonly #known = new Map<string, { readonly size: number; readonly traces: Traces }>();

  constructor(home: string) {
    this.#home = home;
  }

  /** None of a folder without a log: it holds no run. @throws UserError as `readEvents`, where there is one */
  async of(runFolder: string): Promise<Traces> {
    const size = await sizeOf(eventsFile(runFolder));
    const known = this.#known.get(runFolder);
    if (size !== undefined && known?.size === size) return known.traces;
    const traces = await tracesOf(runFolder, this.#home);
    if (size !== undefined) this.#known.set(runFolder, { size, traces });
    return traces;
  }
}

/** Undefined where it cannot be told: whoever opens the file learns why. */
async function sizeOf(file: string): Promise<number | undefined> {
  return (await stat(file).catch(() => undefined))?.size;
}

/** Of a log that is damaged, what it tells before that, and what is linked in the run's folder. */
async function tracesOf(runFolder: string, home: string): Promise<Traces> {
  const uris = new Set<string>();
  const stageKeys = new Set<string>();
  const reused = new Set<string>();
  try {
    for await (const event of readEvents(eventsFile(runFolder))) {
      if (event.type === 'artifact.committed') uris.add(event.data.uri);
      // Of all attempts: one of changed code has another key.
      if (event.type === 'stage.started') stageKeys.add(event.data.key);
      if (event.type !== 'stage.completed' && event.type !== 'stage.reused') continue;
      stageKeys.add(event.data.key);
      for (const uri of Object.values(event.data.outputs)) uris.add(uri);
      if (event.type === 'stage.reused' && event.data.madeBy !== undefined) reused.add(event.data.madeBy);
    }
  } catch (error) {
    if (isLogAbsent(error)) return noTraces;
    if (!isUserError(error) || error.code !== 'log_damaged') throw error;
    for (const uri of await linkedOutputs(runFolder, home)) uris.add(uri);
  }
  return { uris: [...uris], stageKeys: [...stageKeys], reused: [...reused] };
}

/** A run may reuse at any moment what another one has made. */
async function refuseWhileRunning(
  home: string,
  others: readonly Pick<RunSummary, 'runId' | 'runFolder'>[],
): Promise<void> {
  const isServed = (await readRunOwner(join(home, 'server')))?.alive === true;
  if (isServed) throw underWay('a server uses this home', 'Stop the server first.');
  for (const { runId, runFolder } of others) {
    if ((await readRunOwner(runFolder))?.alive !== true) continue;
    throw underWay(`${runId} is running`, `Wait for it, or: simmer cancel ${runId}`);
  }
}

function underWay(who: string, hint: string): UserError {
  return new UserError('runs_under_way', `Nothing is removed while ${who}: it may reuse what would go.`, {
    kind: 'environment',
    hint,
  });
}
