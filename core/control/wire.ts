import type { ArtifactType } from '../artifacts/artifact.js';
import type { Removal } from '../engine/past-runs/remove-runs.js';
import type { RunArtifact } from '../engine/past-runs/run-artifacts.js';
import type { RunSummary, StagePreview } from '../engine/run-outcome.js';
import type { Capacity } from '../engine/scheduler.js';
import { type ErrorKind, type ErrorRecord, type Problem, UserError } from '../errors.js';
import * as wire from '../generated/simmer/control/v1/control.js';
import { contributionKinds } from '../plugin/check-shape.js';
import type { ContributionDescription, PluginDescription } from '../plugin/describe-plugin.js';
import { present } from '../present.js';
import { wireNames } from '../wire-names.js';

/** A run as the server knows it: on disk, and in its queue. */
export interface ServedRun extends RunSummary {
  readonly queue?: { readonly position: number; readonly claim: Capacity; readonly waitsFor: readonly string[] };
}

const kinds = wireNames<ErrorKind, wire.ErrorKind>({
  usage: wire.ErrorKind.ERROR_KIND_USAGE,
  environment: wire.ErrorKind.ERROR_KIND_ENVIRONMENT,
  runFailed: wire.ErrorKind.ERROR_KIND_RUN_FAILED,
  interrupted: wire.ErrorKind.ERROR_KIND_INTERRUPTED,
  budget: wire.ErrorKind.ERROR_KIND_BUDGET,
});

const statuses = wireNames<RunSummary['status'], wire.RunStatus>({
  queued: wire.RunStatus.RUN_STATUS_QUEUED,
  running: wire.RunStatus.RUN_STATUS_RUNNING,
  completed: wire.RunStatus.RUN_STATUS_COMPLETED,
  failed: wire.RunStatus.RUN_STATUS_FAILED,
  interrupted: wire.RunStatus.RUN_STATUS_INTERRUPTED,
  crashed: wire.RunStatus.RUN_STATUS_CRASHED,
});

const cacheStates = wireNames<StagePreview['cache'], wire.CacheState>({
  hit: wire.CacheState.CACHE_STATE_HIT,
  miss: wire.CacheState.CACHE_STATE_MISS,
  unknown: wire.CacheState.CACHE_STATE_UNKNOWN,
});

export const toRunStatus = statuses.code;

export function toErrorDetail(error: ErrorRecord): wire.ErrorDetail {
  return {
    code: error.code,
    message: error.message,
    hint: error.hint,
    kind: error.kind === undefined ? wire.ErrorKind.ERROR_KIND_UNSPECIFIED : kinds.code(error.kind),
    problems: (error.problems ?? []).map(toProblem),
  };
}

/** The server's error, as it would have been thrown here. */
export function fromErrorDetail(detail: wire.ErrorDetail): UserError {
  return new UserError(detail.code, detail.message, {
    kind: kinds.name(detail.kind) ?? 'environment',
    ...(detail.hint === undefined ? {} : { hint: detail.hint }),
    problems: detail.problems.map(fromProblem),
  });
}

function toProblem({ code, message, position, path, hint }: Problem): wire.Problem {
  return { code, message, position, path, hint };
}

function fromProblem({ code, message, position, path, hint }: wire.Problem): Problem {
  return {
    code,
    message,
    ...present({ position, path, hint }),
  };
}

export function toResources({ cpus, memoryBytes, gpus }: Capacity): wire.Resources {
  return { cpus: Math.ceil(cpus), memoryBytes: BigInt(Math.ceil(memoryBytes)), gpus: Math.ceil(gpus) };
}

export function toRun(run: ServedRun): wire.Run {
  return {
    runId: run.runId,
    recipe: run.recipe,
    status: toRunStatus(run.status),
    createdAt: new Date(run.startedAt),
    endedAt: run.endedAt === undefined ? undefined : new Date(run.endedAt),
    folder: run.runFolder,
    lastSequence: BigInt(run.events),
    stagesDone: run.stagesDone,
    stagesTotal: run.stagesTotal,
    queue:
      run.queue === undefined
        ? undefined
        : { position: run.queue.position, claim: toResources(run.queue.claim), waitsFor: [...run.queue.waitsFor] },
    lastEventAt: run.lastEventAt === undefined ? undefined : new Date(run.lastEventAt),
    changes: [...(run.changes ?? [])],
    inspects: run.inspects ?? '',
  };
}

/** @throws Error where a mandatory field is missing: no server sends that */
export function fromRun(run: wire.Run | undefined): RunSummary {
  if (run?.createdAt === undefined) throw new Error('The server answered without a run.');
  return {
    runId: run.runId,
    recipe: run.recipe,
    ...(run.changes.length === 0 ? {} : { changes: run.changes }),
    ...(run.inspects === '' ? {} : { inspects: run.inspects }),
    status: statuses.name(run.status) ?? 'crashed',
    startedAt: run.createdAt.toISOString(),
    ...(run.endedAt === undefined ? {} : { endedAt: run.endedAt.toISOString() }),
    ...(run.lastEventAt === undefined ? {} : { lastEventAt: run.lastEventAt.toISOString() }),
    runFolder: run.folder,
    events: Number(run.lastSequence),
    stagesDone: run.stagesDone,
    stagesTotal: run.stagesTotal,
  };
}

export function toRemoval({ runs, artifacts, bytes, reusedBy }: Removal): wire.RemoveRunsResponse {
  return { runIds: [...runs], artifactIds: [...artifacts], bytes: BigInt(bytes), reusedByRunIds: [...reusedBy] };
}

export function fromRemoval({ runIds, artifactIds, bytes, reusedByRunIds }: wire.RemoveRunsResponse): Removal {
  return { runs: runIds, artifacts: artifactIds, bytes: Number(bytes), reusedBy: reusedByRunIds };
}

export function toStagePreview({ stage, key, cache }: StagePreview): wire.StagePreview {
  return { stage, key: key ?? undefined, cache: cacheStates.code(cache) };
}

export function fromStagePreview({ stage, key, cache }: wire.StagePreview): StagePreview {
  return { stage, key: key ?? null, cache: cacheStates.name(cache) ?? 'unknown' };
}

export function toArtifact({ id, files, ...artifact }: RunArtifact): wire.Artifact {
  return { ...artifact, artifactId: id, files: files.map((file) => ({ ...file, size: BigInt(file.size) })) };
}

export function fromArtifact({ artifactId, type, stage, output, files }: wire.Artifact): RunArtifact {
  const listed = files.map(({ path, size, sha256 }) => ({ path, size: Number(size), sha256 }));
  return { id: artifactId, type: type as ArtifactType, stage, output, files: listed };
}

export function toPlugin(plugin: PluginDescription): wire.Plugin {
  const { name, version, apiVersion, source } = plugin;
  return {
    name,
    version,
    apiVersion,
    source,
    contributions: contributionKinds.flatMap((kind) =>
      Object.entries(plugin[kind]).map(([contribution, { description, options, inputs, outputs }]) => ({
        kind,
        name: contribution,
        description,
        optionsSchemaJson: JSON.stringify(options),
        inputsJson: inputs === undefined ? undefined : JSON.stringify(inputs),
        outputsJson: outputs === undefined ? undefined : JSON.stringify(outputs),
      })),
    ),
  };
}

export function fromPlugin({ name, version, apiVersion, source, contributions }: wire.Plugin): PluginDescription {
  const ofKind = (kind: string): Record<string, ContributionDescription> =>
    Object.fromEntries(
      contributions
        .filter((each) => each.kind === kind)
        .map((each) => [
          each.name,
          {
            description: each.description,
            options: JSON.parse(each.optionsSchemaJson),
            ...(each.inputsJson === undefined ? {} : { inputs: JSON.parse(each.inputsJson) }),
            ...(each.outputsJson === undefined ? {} : { outputs: JSON.parse(each.outputsJson) }),
          },
        ]),
    );
  const byKind = Object.fromEntries(contributionKinds.map((kind) => [kind, ofKind(kind)]));
  return { name, version, apiVersion, source, ...byKind } as PluginDescription;
}
