import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactFile, ArtifactType } from '../../artifacts/artifact.js';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isUserError, UserError } from '../../errors.js';
import { readPlan } from '../run-folder.js';
import { readRunState } from '../run-history.js';
import { reportFile } from '../run-outcome.js';

const chunkBytes = 256 * 1024;
const reportPrefix = 'simmer-report://';

/** What a stage of a run has made, or the report of the run. */
export interface RunArtifact {
  /** Says where `RunArtifacts.read` finds it; nothing else is read out of it. */
  readonly id: string;
  readonly type: ArtifactType;
  /** Empty for the report of the run; so the output. */
  readonly stage: string;
  readonly output: string;
  /** Digests are empty where they are not known. */
  readonly files: readonly ArtifactFile[];
}

/** Which bytes of a file of an artifact. */
export interface ByteRange {
  readonly id: string;
  readonly path: string;
  /** From 0. */
  readonly offset: number;
  /** @default to the end */
  readonly length?: number;
}

/** What runs have made: found by ids, never by paths. */
export class RunArtifacts {
  readonly #home: string;

  constructor(home: string) {
    this.#home = home;
  }

  /** The outputs of a run's stages that are there, and its report. */
  async list(runId: string, runFolder: string): Promise<readonly RunArtifact[]> {
    const store = await ArtifactStore.open(this.#home);
    const [plan, { stages }] = await Promise.all([readPlan(runFolder), readRunState(runFolder)]);
    const artifacts: RunArtifact[] = [];
    for (const { name: stage } of plan.stages) {
      for (const [output, uri] of Object.entries(stages[stage]?.outputs ?? {})) {
        if (!(await store.has(uri))) continue;
        const { type, files } = await store.open(uri);
        artifacts.push({ id: uri, type, stage, output, files });
      }
    }
    const report = await stat(join(runFolder, reportFile)).catch(() => undefined);
    if (report !== undefined) {
      const files = [{ path: reportFile, size: report.size, sha256: '' }];
      artifacts.push({ id: RunArtifacts.reportId(runId), type: 'report', stage: '', output: '', files });
    }
    return artifacts;
  }

  static reportId(runId: string): string {
    return `${reportPrefix}${runId}`;
  }

  /** The bytes that are asked for. @throws UserError `artifact_missing` and its like, `out_of_range` */
  async *read(request: ByteRange): AsyncIterable<Buffer> {
    const path = await this.#pathOf(request.id, request.path);
    await using handle = await open(path, 'r').catch(() => {
      throw missingFile(request);
    });
    const { size } = await handle.stat();
    let at = request.offset;
    if (at > size) throw new UserError('out_of_range', `${request.path} has ${size} bytes, and no byte ${at}.`);
    const end = request.length === undefined ? size : Math.min(size, at + request.length);
    while (at < end) {
      // A new one each time: the former may still be on its way.
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, end - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Only what a manifest lists, and the one file of a run that is its report. */
  async #pathOf(id: string, path: string): Promise<string> {
    const store = await ArtifactStore.open(this.#home);
    if (id.startsWith(reportPrefix)) {
      const runId = id.slice(reportPrefix.length);
      if (/^[a-z0-9][a-z0-9-]*$/.test(runId) && path === reportFile) return join(store.runFolder(runId), reportFile);
      throw missingFile({ id, path });
    }
    try {
      const artifact = await store.open(id);
      const file = artifact.files.find((each) => each.path === path);
      if (file !== undefined) return artifact.path(file.path);
    } catch (error) {
      if (!isUserError(error) || error.code !== 'artifact_missing') throw error;
    }
    throw missingFile({ id, path });
  }
}

function missingFile({ id, path }: Pick<ByteRange, 'id' | 'path'>): UserError {
  return new UserError('artifact_missing', `There is no file ${JSON.stringify(path)} of ${JSON.stringify(id)}.`, {
    hint: 'ListArtifacts, or `simmer artifacts`, says which there are.',
  });
}
