import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isUserError, UserError } from '../../errors.js';
import { readEvents } from '../../events/replay.js';
import { isSeenFromHere } from '../../process/process-identity.js';
import { acquireRunLock, type RunLock, readRunOwner } from '../../process/run-lock.js';
import { eventsFile, linkedOutputs, ofEachRun, retiredRuns, retireRunFolder, runIds } from '../run-folder.js';
import { isLogAbsent } from '../run-history.js';
import type { RunOfHome } from '../run-outcome.js';

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
  /**
   * Whether this process serves the home: then its own runs may go on meanwhile. All of them must have the store's `holds`.
   * @default false
   */
  readonly isServer?: boolean;
}

/**
 * Removes runs, the artifacts that only they have, and what only their stages and graders kept, to go on from or since it
 * was paid for. The same stages are run again where they are asked for again. What this process has found and not told of
 * yet stays until the next time.
 *
 * Who is killed at it leaves each run whole, or as one that is removed: what is left of those then, this removes first, also
 * where no runs are given.
 * @throws UserError `runs_under_way`, `run_locked`
 */
export async function removeRuns(removed: readonly RunOfHome[], options: RemoveOptions): Promise<Removal> {
  const { store, dryRun } = options;
  const traces = new RunTraces(store.home);
  const runs = removed.map(({ runId }) => runId);
  if (dryRun) return (await lookAt(removed, runs, traces, options)).removal;
  const locks: RunLock[] = [];
  try {
    for (const { runFolder } of removed) locks.push(await acquireRunLock(runFolder, {}, { isForRemoval: true }));
    const retired = await lockRetired(store.runsFolder, locks);
    const leaving = [...removed, ...retired];
    using taking = store.holds.beginTaking();
    const first = await lookAt(leaving, runs, traces, options);
    const taken = taking.take([...first.removal.artifacts, ...first.stageKeys]);
    await store.stages.forget(taken);
    // From now on nobody finds them. Who found them before in another process has taken its run up, and is seen.
    const { removal, stageKeys } = await lookAt(leaving, runs, traces, options);
    const held = new Set(await store.withReferences(removal.artifacts.filter((uri) => !taken.has(uri))));
    const artifacts = removal.artifacts.filter((uri) => !held.has(uri));
    const bytes = await store.sizeOf(artifacts);
    for (const key of stageKeys) if (!taken.has(key)) held.add(key);
    const done: string[] = [];
    for (const run of leaving) {
      const { runFolder } = run;
      const { uris, stageKeys: keys } = await traces.of(runFolder);
      const folder = removed.includes(run) ? await retireRunFolder(runFolder) : runFolder;
      if (![...uris, ...keys].some((name) => held.has(name))) done.push(folder);
    }
    const keepers = [...stageKeys.filter((key) => !held.has(key)), ...leaving.map(({ runId }) => runId)];
    await using _space = await store.takeOut(artifacts, keepers);
    taking[Symbol.dispose]();
    for (const folder of done) await rm(folder, { recursive: true, force: true });
    return { ...removal, artifacts, bytes };
  } finally {
    for (const lock of locks) await lock[Symbol.asyncDispose]();
  }
}

/** The runs whose removal a process began that is gone; they are locked now. */
async function lockRetired(runs: string, locks: RunLock[]): Promise<readonly RunOfHome[]> {
  const retired: RunOfHome[] = [];
  for (const run of await retiredRuns(runs)) {
    try {
      locks.push(await acquireRunLock(run.runFolder, {}, { isForRemoval: true }));
      retired.push(run);
    } catch (error) {
      // Somebody is at it, or was quicker.
      if (!isUserError(error)) throw error;
    }
  }
  return retired;
}

/** What would go, by the logs of all runs. @param runs ids of those that are named @throws UserError `runs_under_way` */
async function lookAt(
  removed: readonly RunOfHome[],
  runs: readonly string[],
  traces: RunTraces,
  { store, isServer = false }: RemoveOptions,
): Promise<{ readonly removal: Removal; readonly stageKeys: readonly string[] }> {
  const named = new Set(runs);
  const ids = (await runIds(store.runsFolder)).filter((runId) => !named.has(runId));
  await refuseWhileRunning(store, ids, isServer);
  const gone: Traces[] = [];
  for (const { runFolder } of removed) gone.push(await traces.of(runFolder));
  const keptTraces = await ofEachRun(ids, async (runId) => ({ runId, ...(await traces.of(store.runFolder(runId))) }));
  const keptUris = await store.withReferences(keptTraces.flatMap(({ uris }) => uris));
  const keptKeys = new Set(keptTraces.flatMap(({ stageKeys }) => stageKeys));
  const artifacts = [...new Set(gone.flatMap(({ uris }) => uris))].filter((uri) => !keptUris.has(uri));
  const stageKeys = [...new Set(gone.flatMap(({ stageKeys }) => stageKeys))].filter((key) => !keptKeys.has(key));
  const reusedBy = keptTraces.flatMap(({ runId, reused }) => (reused.some((id) => named.has(id)) ? [runId] : []));
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
    for await (const event of readEvents(eventsFile(runFolder), { isBrief: true })) {
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

/** A run may reuse at any moment what another one has made; of those of this process, the store's `holds` tell. */
async function refuseWhileRunning(store: ArtifactStore, others: readonly string[], isServer: boolean): Promise<void> {
  const isServed = !isServer && (await readRunOwner(join(store.home, 'server')))?.alive === true;
  if (isServed) throw underWay('a server uses this home', 'Ask the server: simmer --server ADDRESS remove …');
  await ofEachRun(others, async (runId) => {
    const owner = await readRunOwner(store.runFolder(runId));
    const isOurs = isServer && owner?.pid === process.pid && (await isSeenFromHere(owner));
    if (owner?.alive !== true || isOurs) return;
    throw underWay(`${runId} is running`, `Wait for it, or: simmer cancel ${runId}`);
  });
}

function underWay(who: string, hint: string): UserError {
  return new UserError('runs_under_way', `Nothing is removed while ${who}: it may reuse what would go.`, {
    kind: 'environment',
    hint,
  });
}
