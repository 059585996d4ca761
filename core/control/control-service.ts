import { setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import {
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Settings } from '../config/settings.js';
import { estimatePlan } from '../engine/estimate-plan.js';
import { RunArtifacts } from '../engine/past-runs/run-artifacts.js';
import { previewPlan } from '../engine/preview.js';
import { eventsFile, readPlan } from '../engine/run-folder.js';
import { UserError } from '../errors.js';
import { redactedRecord } from '../events/redaction.js';
import * as wire from '../generated/simmer/control/v1/control.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { describePlugin } from '../plugin/describe-plugin.js';
import { simmerPackage } from '../plugin/locate.js';
import { budgetChangeOf } from '../recipe/budget-change.js';
import { planDigest } from '../recipe/plan-digest.js';
import { recipeJsonSchema } from '../recipe/recipe-json-schema.js';
import { remembered } from '../remembered.js';
import { jsonChunks } from './json-chunks.js';
import type { ServerLimits } from './limits.js';
import { isAboutRecipe, RecipeSource } from './recipe-source.js';
import { abandoned, removedMeanwhile, serverStopping } from './refusals.js';
import { RunAnalyses } from './run-analyses.js';
import { pageOf } from './run-pages.js';
import type { ServedHome } from './served-home.js';
import type { ServedRuns } from './served-runs.js';
import { toStatus } from './status-details.js';
import { Turns } from './turns.js';
import { briefMessages } from './watching/brief-log.js';
import type { DurableWrites } from './watching/durable-writes.js';
import { LogTails } from './watching/log-tails.js';
import { toArtifact, toErrorDetail, toPlugin, toRemoval, toResources, toRun, toStagePreview } from './wire.js';

/** The most of a stream of bytes that goes into one message. */
const chunkBytes = 256 * 1024;
/** Of a recipe. */
const mostProblems = 1000;
/** Of these problems, in bytes: an answer has them twice, and clients take messages of 4 MiB. */
const mostProblemBytes = 1024 * 1024;
/** Calls that wait for artifacts to be listed; more are refused. */
const mostListings = 1000;
/** A LIVE watcher that is further behind than this gets no telemetry. */
const liveLag = 1000;

interface ControlServiceOptions {
  readonly settings: Settings;
  readonly home: ServedHome;
  readonly runs: ServedRuns;
  /** Of the runs in this process. */
  readonly writes: DurableWrites;
  readonly recipes: RecipeSource;
  readonly limits: ServerLimits;
  /** Aborted when the runs of this server have stopped: whoever still waits for an answer is told to ask the next one. */
  readonly stopping: AbortSignal;
  /** What a recipe without plugins of its own may use, and the plugins that the owner allows. */
  readonly catalog: PluginCatalog;
}

/** The service as grpc-js takes it; `watchRun` sends messages that are encoded already. */
export const controlServiceDefinition = {
  ...wire.ControlServiceService,
  watchRun: { ...wire.ControlServiceService.watchRun, responseSerialize: (message: Buffer) => message },
};

/** What each call of simmer.control.v1 does. */
export function controlService(options: ControlServiceOptions): UntypedServiceImplementation {
  const { settings, home, runs, writes, recipes, limits, stopping, catalog } = options;
  const unary = unaryUntil(stopping, home);
  const streaming = streamingFrom(home);
  const tails = new LogTails(writes);
  const artifacts = new RunArtifacts(settings.home);
  const analyses = new RunAnalyses(settings.home, limits);
  // Made once: each takes a tenth of a second in which nobody else is answered, and a server's plugins stay what they are.
  const plugins = remembered(async () => ({
    plugins: (await Promise.all((await catalog.all()).map(describePlugin))).map(toPlugin),
  }));
  const recipeSchema = remembered(async () => ({ schemaJson: JSON.stringify(await recipeJsonSchema(catalog)) }));
  // Each reads a whole log in brief.
  const listings = new Turns({
    atATime: 1,
    mostWaiting: mostListings,
    refusal: { code: 'server_limit', waitFor: 'calls wait for artifacts to be listed' },
  });
  // Who watches waits for a turn, and is refused none.
  const refusal = { code: 'too_many_watchers', waitFor: 'watchers wait' };
  const briefs = new Turns({ atATime: 1, mostWaiting: limits.watchers, refusal });
  let watchers = 0;

  return {
    describeServer: unary(
      async (_request: wire.DescribeServerRequest): Promise<wire.DescribeServerResponse> => ({
        version: simmerPackage.version,
        home: settings.home,
        capacity: toResources(runs.queue.capacity),
        claimed: toResources(runs.queue.claimed),
        queuedRunIds: [...runs.waiting],
        runningRunIds: [...runs.queue.holding],
      }),
    ),

    validateRecipe: unary(async ({ recipe }: wire.ValidateRecipeRequest): Promise<wire.ValidateRecipeResponse> => {
      try {
        const { plan } = await recipes.plan(recipe);
        const stages = plan.stages.map((stage) => stage.name);
        const trainers = Object.keys(plan.trainers);
        return { problems: [], recipeName: plan.recipe, stages, trainers, error: undefined };
      } catch (error) {
        if (!isAboutRecipe(error)) throw error;
        const detail = toErrorDetail(redactedRecord(error));
        const first = fitting(detail.problems.slice(0, mostProblems));
        const { code, message, hint } = detail;
        // A recipe that is refused as a whole has a problem, too.
        const problems = first.length > 0 ? first : [{ code, message, hint, position: undefined, path: undefined }];
        return { problems, recipeName: '', stages: [], trainers: [], error: { ...detail, problems: first } };
      }
    }),

    planRecipe: unary(async ({ recipe }: wire.PlanRecipeRequest): Promise<wire.PlanRecipeResponse> => {
      const { plan, catalog } = await recipes.plan(recipe);
      const store = await ArtifactStore.open(settings.home);
      const previews = await previewPlan(plan, store.stages);
      const estimates = await estimatePlan(plan, catalog, store, settings);
      return {
        planJson: JSON.stringify(plan),
        digest: planDigest(plan),
        stages: previews.map(toStagePreview),
        estimatesJson: JSON.stringify(estimates),
      };
    }),

    createRun: unary(async ({ requestId, recipe }: wire.CreateRunRequest): Promise<wire.CreateRunResponse> => {
      if (requestId === '' || requestId.length > 128) {
        throw new UserError('invalid_request_id', 'A request id has 1 to 128 characters.', { hint: 'Use a UUID.' });
      }
      const request = { id: requestId, digest: RecipeSource.digest(recipe) };
      const { runId, isNew } = await runs.create(request, () => recipes.plan(recipe));
      return { run: toRun(await runs.get(runId)), alreadyCreated: !isNew };
    }),

    getRun: unary(async ({ runId }: wire.GetRunRequest): Promise<wire.GetRunResponse> => {
      const run = await runs.find(runId);
      return { run: toRun(run), planJson: JSON.stringify(await readPlan(run.runFolder)) };
    }),

    listRuns: unary(async (request: wire.ListRunsRequest): Promise<wire.ListRunsResponse> => {
      const page = pageOf(await runs.list(), request);
      return { runs: page.runs.map(toRun), nextPageToken: page.nextPageToken };
    }),

    cancelRun: unary(async (request: wire.CancelRunRequest): Promise<wire.CancelRunResponse> => {
      const { runId, reason, dropReplies } = request;
      await runs.cancel(runId, reason === '' ? 'canceled by a client' : reason.slice(0, 1000), dropReplies);
      return { run: toRun(await runs.get(runId)) };
    }),

    resumeRun: unary(async ({ runId, overrides }: wire.ResumeRunRequest): Promise<wire.ResumeRunResponse> => {
      await runs.resume(runId, budgetChangeOf(overrides));
      return { run: toRun(await runs.get(runId)) };
    }),

    removeRuns: unary(async ({ runIds, dryRun }: wire.RemoveRunsRequest): Promise<wire.RemoveRunsResponse> => {
      return toRemoval(await runs.remove(runIds, dryRun));
    }),

    watchRun: streaming(async (call: ServerWritableStream<wire.WatchRunRequest, Buffer>, signal) => {
      if (watchers >= limits.watchers) {
        throw new UserError('too_many_watchers', `${watchers} watchers are here already.`, { kind: 'environment' });
      }
      watchers += 1;
      const over = new AbortController();
      try {
        const { runId, fromSequence, mode } = call.request;
        const runFolder = await runs.folderOf(runId);
        if (mode === wire.WatchMode.WATCH_MODE_BRIEF) {
          const from = Math.max(1, Number(fromSequence));
          for await (const message of briefMessages(eventsFile(runFolder), from, { turns: briefs, signal })) {
            if (signal.aborted) return;
            if (stopping.aborted) throw serverStopping();
            await write(call, message, signal);
          }
          return;
        }
        await using used = await tails.use(eventsFile(runFolder));
        const { tail } = used;
        const lagLimit = mode === wire.WatchMode.WATCH_MODE_LIVE ? liveLag : undefined;
        // Whoever watches learns that it is being watched for, also where nothing happens for a while.
        call.sendMetadata(new Metadata());
        const letGo = new AbortController();
        const end = () => letGo.abort();
        const watching = AbortSignal.any([signal, over.signal]);
        runs.letGo(runFolder, watching).then(end, end);
        // Not by `AbortSignal.any`, which leaves a little behind in a signal that lives as long as the server.
        const cutOff = new AbortController();
        stopping.addEventListener('abort', () => cutOff.abort(), { signal: over.signal });
        if (stopping.aborted) cutOff.abort();
        const cut = AbortSignal.any([signal, cutOff.signal]);
        const waits = AbortSignal.any([cut, letGo.signal]);
        let position = await tail.seek(Math.max(1, Number(fromSequence)), waits);
        while (position !== undefined) {
          const isLast = waits.aborted && !(await tail.hasMore(position, signal));
          const part = isLast ? undefined : await tail.next(position, waits.aborted ? signal : waits, lagLimit);
          if (part !== undefined) {
            await write(call, part.message, signal);
            position = part.next;
            continue;
          }
          if (signal.aborted) return;
          if (runs.goesOn(basename(runFolder)) || (stopping.aborted && !tail.hasEnd)) throw serverStopping();
          const inHand = await runs.inHand(basename(runFolder), watching);
          if (inHand !== undefined) await Promise.race([tail.grown(position, cut), inHand.released]);
          // Its end may have been written past this process's own log: then the file is ahead of what the tail knows.
          else if (!(await tail.hasMore(position, signal))) break;
        }
        if (signal.aborted || tail.hasEnd) return;
        if (stopping.aborted) throw serverStopping();
        throw existsSync(runFolder) ? abandoned(basename(runFolder)) : removedMeanwhile(basename(runFolder));
      } finally {
        over.abort();
        watchers -= 1;
      }
    }),

    listArtifacts: unary(async ({ runId }: wire.ListArtifactsRequest): Promise<wire.ListArtifactsResponse> => {
      const run = await runs.get(runId);
      const listed = await listings.take(() => artifacts.list(run.runId, run.runFolder));
      return { artifacts: listed.map(toArtifact) };
    }),

    readArtifact: streaming(
      async (call: ServerWritableStream<wire.ReadArtifactRequest, wire.ReadArtifactResponse>, signal) => {
        const { artifactId, path, offset, length } = call.request;
        const range = { offset: Number(offset), ...(length === undefined ? {} : { length: Number(length) }) };
        for await (const data of artifacts.read({ id: artifactId, path, ...range })) {
          if (signal.aborted) return;
          if (stopping.aborted) throw serverStopping();
          await write(call, { data }, signal);
        }
      },
    ),

    writeReport: unary(async ({ runId: name }: wire.WriteReportRequest): Promise<wire.WriteReportResponse> => {
      const { runId, runFolder } = await runs.find(name);
      const manager = await runs.managerFor(runFolder);
      const path = await analyses.writeReport(() => manager.writeReport(runId));
      return { runId, path, artifactId: RunArtifacts.reportId(runId) };
    }),

    explainRow: unary(async ({ runId, rowId }: wire.ExplainRowRequest): Promise<wire.ExplainRowResponse> => {
      const history = await analyses.explainRow(await runs.find(runId), rowId);
      return { historyJson: JSON.stringify(history) };
    }),

    diffEvaluations: streaming(
      async (call: ServerWritableStream<wire.DiffEvaluationsRequest, wire.DiffEvaluationsResponse>, signal) => {
        const { beforeRunId, afterRunId } = call.request;
        const points = await analyses.diffEvaluations(await runs.find(beforeRunId), await runs.find(afterRunId));
        for (const data of jsonChunks(points, chunkBytes)) {
          if (signal.aborted) return;
          await write(call, { data }, signal);
        }
      },
    ),

    listPlugins: unary((_request: wire.ListPluginsRequest): Promise<wire.ListPluginsResponse> => plugins()),

    getRecipeSchema: unary(
      (_request: wire.GetRecipeSchemaRequest): Promise<wire.GetRecipeSchemaResponse> => recipeSchema(),
    ),
  };
}

function fitting(problems: readonly wire.Problem[]): wire.Problem[] {
  let bytes = 0;
  return problems.filter((problem) => {
    bytes += wire.Problem.encode(problem).finish().length;
    return bytes <= mostProblemBytes;
  });
}

function unaryUntil(stopping: AbortSignal, home: ServedHome) {
  // Each call that is under way listens.
  setMaxListeners(0, stopping);
  return <Request, Response>(answer: (request: Request) => Promise<Response>) =>
    (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
      const stop = () => callback(toStatus(serverStopping()));
      if (stopping.aborted) {
        stop();
        return;
      }
      stopping.addEventListener('abort', stop);
      const isOurs = () => {
        stopping.removeEventListener('abort', stop);
        return !stopping.aborted;
      };
      const answered = home.refuseWhereGone().then(() => answer(call.request));
      answered.then(
        (response) => isOurs() && callback(null, response),
        (error: unknown) => isOurs() && callback(toStatus(error)),
      );
    };
}

function streamingFrom(home: ServedHome) {
  return <Request, Response>(
    answer: (call: ServerWritableStream<Request, Response>, signal: AbortSignal) => Promise<void>,
  ) =>
    (call: ServerWritableStream<Request, Response>): void => {
      const gone = new AbortController();
      call.once('cancelled', () => gone.abort());
      call.once('error', () => gone.abort());
      const answered = home.refuseWhereGone().then(() => answer(call, gone.signal));
      answered.then(
        () => call.end(),
        (error: unknown) => {
          if (!gone.signal.aborted) call.emit('error', toStatus(error));
        },
      );
    };
}

/** Resolves when the message was sent: what a client does not read stays on the disk, but for the one under way. */
async function write<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  message: Response,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    call.write(message, done);
  });
}
