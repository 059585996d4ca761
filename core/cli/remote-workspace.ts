import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tableFile } from '../artifacts/stored-artifact.js';
import { readToken } from '../control/access.js';
import { ControlClient } from '../control/control-client.js';
import { fromArtifact, fromErrorDetail, fromPlugin, fromRemoval, fromRun, fromStagePreview } from '../control/wire.js';
import { readDataFile } from '../document/data-file.js';
import type { StageForecast } from '../engine/estimate-plan.js';
import type { PointDiff } from '../engine/past-runs/eval-diff.js';
import type { RowHistory } from '../engine/past-runs/explain-row.js';
import type { Removal } from '../engine/past-runs/remove-runs.js';
import type { ByteRange, RunArtifact } from '../engine/past-runs/run-artifacts.js';
import { type RunOutcome, type RunSummary, reportFile } from '../engine/run-outcome.js';
import { exitCodes, isUserError, toErrorRecord, UserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import { formatBytes } from '../figures.js';
import { makeTemporaryFolder } from '../files/temporary-folder.js';
import { type Recipe, type Run, WatchMode } from '../generated/simmer/control/v1/control.js';
import type { Sink } from '../plugin/definitions.js';
import type { Overrides } from '../recipe/overrides.js';
import type { Plan } from '../recipe/plan.js';
import { fetchArtifact } from './fetch-files.js';
import { onInterrupt } from './interrupts.js';
import { leave } from './leave.js';
import { type RunConsoleOptions, runConsole } from './run-console.js';
import { sayToPeople } from './terminal.js';
import type { ResumeOptions, StartedRun, StartOptions, Workspace, WorkspaceFlags } from './workspace.js';

/** A table of which is told that it is fetched, since that takes a while. */
const largeBytes = 32 * 1024 * 1024;

/** How many runs one call removes. */
const mostRemoved = 1000;

/** A server's home; runs are run there. */
export class RemoteWorkspace implements Workspace {
  readonly #client: ControlClient;
  readonly #copies: string[] = [];
  #leaving: Disposable | undefined;
  /** What is to be said of a report that is not on this machine. */
  #reportElsewhere: string | undefined;
  /** That the server is gone is said once, whoever watches here. */
  #isAwayTold = false;

  private constructor(client: ControlClient) {
    this.#client = client;
  }

  static async open(address: string, flags: WorkspaceFlags): Promise<RemoteWorkspace> {
    const { env } = process;
    const token = await readToken(flags.serverTokenFile, env);
    const files = {
      ...(env.SIMMER_SERVER_CA ? { authority: env.SIMMER_SERVER_CA } : {}),
      ...(env.SIMMER_SERVER_CERT ? { certificate: env.SIMMER_SERVER_CERT } : {}),
      ...(env.SIMMER_SERVER_KEY ? { key: env.SIMMER_SERVER_KEY } : {}),
    };
    const tls = Object.keys(files).length === 0 ? {} : { tls: files };
    return new RemoteWorkspace(
      await ControlClient.open({ address, ...(token === undefined ? {} : { token }), ...tls }),
    );
  }

  get place(): string {
    return this.#client.address;
  }

  async validate(file: string, given: Overrides) {
    const { error, recipeName, stages, trainers } = await this.#client.validateRecipe({
      recipe: await read(file, given),
    });
    if (error !== undefined) throw fromErrorDetail(error);
    return { recipe: recipeName, file, stages, trainers };
  }

  async plan(file: string, given: Overrides) {
    const { planJson, digest, stages, estimatesJson } = await this.#client.planRecipe({
      recipe: await read(file, given),
    });
    const estimates = JSON.parse(estimatesJson || '[]') as readonly StageForecast[];
    return { digest, plan: JSON.parse(planJson) as Plan, stages: stages.map(fromStagePreview), estimates };
  }

  async plugins(file: string | undefined) {
    refuseRecipe(file);
    return (await this.#client.listPlugins()).plugins.map(fromPlugin);
  }

  async schema(file: string | undefined) {
    refuseRecipe(file);
    return JSON.parse((await this.#client.getRecipeSchema()).schemaJson) as unknown;
  }

  async runs() {
    const runs: RunSummary[] = [];
    for (let pageToken = ''; ; ) {
      const page = await this.#client.listRuns({ pageSize: 1000, pageToken, filter: undefined });
      runs.push(...page.runs.map(fromRun));
      pageToken = page.nextPageToken;
      if (pageToken === '') return runs;
    }
  }

  async find(name: string) {
    return fromRun((await this.#client.getRun(name)).run);
  }

  async writeReport(name: string) {
    const { runId, path, artifactId } = await this.#client.writeReport(name);
    this.#noteReport(runId, path);
    return { runId, reportPath: path, id: artifactId };
  }

  async artifacts({ runId }: RunSummary) {
    return (await this.#client.listArtifacts(runId)).artifacts.map(fromArtifact);
  }

  readArtifact({ id, path, offset, length }: ByteRange) {
    // Who fetches it needs not be told where it is.
    if (path === reportFile) this.#reportElsewhere = undefined;
    const bytes = length === undefined ? undefined : BigInt(length);
    return this.#client.readArtifact({ artifactId: id, path, offset: BigInt(offset), length: bytes });
  }

  async openTable(artifact: RunArtifact) {
    const { openTableCopy } = await import('../artifacts/table-file.js');
    const bytes = artifact.files.reduce((sum, { size }) => sum + size, 0);
    if (bytes > largeBytes) process.stderr.write(`Fetching the table from ${this.place}: ${formatBytes(bytes)}.\n`);
    const copy = await this.#copyFolder();
    // It may be large.
    this.#leaving = onInterrupt(() => {
      rmSync(copy, { recursive: true, force: true });
      leave(exitCodes.interrupted);
    });
    const folder = join(copy, 'table');
    await fetchArtifact(artifact, folder, (range) => this.readArtifact(range));
    return openTableCopy(join(folder, tableFile));
  }

  async *watch({ runId }: RunSummary, { from = 1, signal }: { from?: number; signal?: AbortSignal } = {}) {
    const options = { fromSequence: from, ...(signal === undefined ? {} : { signal }) };
    try {
      for await (const event of this.#events(runId, options)) {
        if (event.type === 'run.completed') this.#noteReport(runId, event.data.reportPath);
        yield event;
      }
    } catch (error) {
      if (!isUserError(error) || error.code !== 'server_unreachable') throw error;
      const { code, message, kind } = error;
      const hint = `The run goes on there, or when the server is started again. Watch it with: simmer watch ${runId}`;
      throw new UserError(code, message, { kind, hint, cause: error });
    }
  }

  async isHeld({ runId }: RunSummary) {
    const { status } = await this.find(runId);
    return status === 'running' || status === 'queued';
  }

  async planOf({ runId }: RunSummary) {
    return JSON.parse((await this.#client.getRun(runId)).planJson) as Plan;
  }

  history(run: RunSummary, { from = 1 }: { from?: number } = {}) {
    return this.#eventsSoFar(run, { fromSequence: from });
  }

  briefHistory(run: RunSummary) {
    return this.#eventsSoFar(run, { mode: WatchMode.WATCH_MODE_BRIEF });
  }

  async start(file: string | undefined, given: Overrides, options: StartOptions) {
    const recipe = file === undefined ? named('quickstart', given) : await read(file, given);
    const { run } = await this.#client.createRun({ requestId: randomUUID(), recipe });
    return this.#followed(run, 0, options);
  }

  async resume(before: RunSummary, { overrides, ...options }: ResumeOptions) {
    const { run } = await this.#client.resumeRun(before.runId, overrides);
    return this.#followed(run, before.events, options);
  }

  async cancel({ runId }: RunSummary, dropReplies: boolean) {
    return fromRun((await this.#client.cancelRun({ runId, reason: 'simmer cancel', dropReplies })).run);
  }

  async remove(runs: readonly RunSummary[], dryRun: boolean) {
    const ids = runs.map(({ runId }) => runId);
    // What several runs share alone goes with the last of them: one call says what all would take along.
    const size = dryRun ? Math.max(1, ids.length) : mostRemoved;
    const parts: Removal[] = [];
    for (let at = 0; at === 0 || at < ids.length; at += size) {
      parts.push(fromRemoval(await this.#client.removeRuns({ runIds: ids.slice(at, at + size), dryRun })));
    }
    return joined(parts);
  }

  async explainRow({ runId }: RunSummary, rowId: string) {
    return JSON.parse((await this.#client.explainRow({ runId, rowId })).historyJson) as RowHistory;
  }

  async diffEvaluations(before: RunSummary, after: RunSummary) {
    const parts: Buffer[] = [];
    const request = { beforeRunId: before.runId, afterRunId: after.runId };
    for await (const part of this.#client.diffEvaluations(request)) parts.push(part);
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as readonly PointDiff[];
  }

  console(options: Omit<RunConsoleOptions, 'source'>): Sink {
    return runConsole({
      ...options,
      source: {
        runFolder: (runId) => this.#copyOfRun(runId),
        openArtifact: async (uri) => {
          throw new UserError('artifact_missing', `${uri} is on the server ${this.place}.`);
        },
        eventsOf: (runId) => this.#events(runId),
      },
    });
  }

  async [Symbol.asyncDispose]() {
    this.#client[Symbol.dispose]();
    for (const folder of this.#copies) await rm(folder, { recursive: true, force: true });
    this.#leaving?.[Symbol.dispose]();
    // Not before: until now the console may have drawn over it.
    if (this.#reportElsewhere !== undefined) sayToPeople(this.#reportElsewhere);
  }

  /** A path that was printed may be one of another machine. */
  #noteReport(runId: string, path: string | null): void {
    if (path === null || existsSync(path)) return;
    this.#reportElsewhere = `The report is on the machine of ${this.place}. Fetch it with: simmer report ${runId} --output report.html`;
  }

  /** The events that there were when the run was found, and no more: a server that knows no brief reading sends those that come. */
  async *#eventsSoFar({ runId, events }: RunSummary, options: Parameters<ControlClient['watch']>[1]) {
    for await (const event of this.#events(runId, options)) {
      yield event;
      if (event.sequence >= events) return;
    }
  }

  #events(runId: string, options: Parameters<ControlClient['watch']>[1] = {}): AsyncIterable<Event> {
    const onStopping = () =>
      this.#noteAway(`The server was stopped: ${runId} goes on when it is started again. Waiting for it.`);
    const onLost = () =>
      this.#noteAway(`The server ${this.place} cannot be reached. Waiting for it, ten minutes at most.`);
    return this.#client.watch(runId, { ...options, onStopping, onLost });
  }

  #noteAway(text: string): void {
    if (this.#isAwayTold) return;
    this.#isAwayTold = true;
    sayToPeople(text);
  }

  /** What the console reads of a run's folder is its plan. */
  async #copyOfRun(runId: string): Promise<string> {
    const { planJson } = await this.#client.getRun(runId);
    const folder = await this.#copyFolder();
    await writeFile(join(folder, 'plan.json'), planJson);
    return folder;
  }

  /** Is gone with this workspace. */
  async #copyFolder(): Promise<string> {
    const folder = await makeTemporaryFolder('simmer-copy-');
    this.#copies.push(folder);
    return folder;
  }

  /** Feeds the caller's sinks with what the server tells, and asks it to stop when the caller does. */
  #followed(made: Run | undefined, lastSequence: number, { signal, sinks }: StartOptions): StartedRun {
    const run = fromRun(made);
    if (made?.queue !== undefined) sayToPeople(queueLine(run.runId, made.queue));
    let isInterrupted = false;
    const cancel = (reason: string, dropReplies: boolean) =>
      this.#client
        .cancelRun({ runId: run.runId, reason, dropReplies })
        .catch((error: Error) => sayToPeople(`The run could not be stopped: ${error.message}`));
    const interrupt = (reason: string) => {
      if (isInterrupted) return;
      isInterrupted = true;
      void cancel(reason, false);
    };
    const dropReplies = () => void cancel('simmer cancel', true);
    const finished = (async (): Promise<RunOutcome> => {
      let outcome: RunOutcome | undefined;
      try {
        for await (const event of this.watch(run, { from: lastSequence + 1 })) {
          for (const sink of sinks) await sink.onEvent(event);
          outcome = outcomeOf(event) ?? outcome;
        }
      } catch (error) {
        // What the server stopped with itself has not ended.
        const isOpen = outcome === undefined || (outcome.status === 'interrupted' && !isInterrupted);
        if (isOpen) outcome = { status: 'failed', error: toErrorRecord(error) };
      } finally {
        for (const sink of sinks) await sink.close?.();
      }
      return outcome ?? { status: 'interrupted', reason: 'the server stopped' };
    })();
    if (signal.aborted) interrupt(String((signal.reason as Error).message));
    const follow = (from: number) => this.watch(run, { from });
    return { runId: run.runId, runFolder: run.runFolder, finished, interrupt, dropReplies, follow };
  }
}

/** What went by several calls. */
function joined(parts: readonly Removal[]): Removal {
  const runs = parts.flatMap((part) => part.runs);
  const reusedBy = new Set(parts.flatMap((part) => part.reusedBy).filter((runId) => !runs.includes(runId)));
  const artifacts = parts.flatMap((part) => part.artifacts);
  return { runs, artifacts, bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0), reusedBy: [...reusedBy] };
}

function outcomeOf(event: Event): RunOutcome | undefined {
  switch (event.type) {
    case 'run.completed': {
      const { reportPath, metrics, outputs } = event.data;
      return { status: 'completed', reportPath, metrics, outputs };
    }
    case 'run.failed':
      return { status: 'failed', ...event.data };
    case 'run.interrupted':
      return { status: 'interrupted', ...event.data };
    default:
      return undefined;
  }
}

function queueLine(runId: string, { position, waitsFor }: NonNullable<Run['queue']>): string {
  const what = waitsFor.length === 0 ? '' : `; it waits for ${waitsFor.join(', ')}`;
  return `${runId} is number ${position} in the queue${what}.`;
}

/** The recipe in a file here; or where there is none, the server's own of that name. */
async function read(file: string, given: Overrides): Promise<Recipe> {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(file) && !existsSync(file)) return named(file, given);
  const value = await readDataFile(file, 'recipe');
  return { source: { $case: 'text', value }, fileName: file, ...messageOf(given) };
}

function named(value: string, given: Overrides): Recipe {
  return { source: { $case: 'name', value }, fileName: '', ...messageOf(given) };
}

function messageOf({ params, overrides, until }: Overrides): Pick<Recipe, 'params' | 'overrides' | 'until'> {
  return { params: { ...params }, overrides: { ...overrides }, until };
}

function refuseRecipe(file: string | undefined): void {
  if (file === undefined) return;
  throw new UserError('server_decides', 'A server tells of its own plugins, not of those that a recipe lists.', {
    hint: 'Leave the recipe out.',
  });
}
