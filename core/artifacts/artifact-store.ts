import { readdir, realpath, rename, rmdir } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { isUserError, UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder } from '../files/durable-files.js';
import { unlessMissing } from '../files/unless-missing.js';
import type { Artifact, ArtifactWriter, TableArtifact } from './artifact.js';
import { artifactUri, isModelUri, parseArtifactUri } from './artifact-uri.js';
import { StoreWriter } from './artifact-writer.js';
import { digestFiles } from './file-digest.js';
import { Holds } from './holds.js';
import { readManifest } from './manifest.js';
import { requireName, type StageCache, StoredStageCache } from './stage-cache.js';
import { makeStagingFolder, removeStaleStaging } from './staging.js';
import { askedBeside, StoreHome } from './store-home.js';
import { StoredArtifact, StoredTable } from './stored-artifact.js';

export type { StageCache, StageCacheEntry } from './stage-cache.js';

/**
 * A home: artifacts by the digest of their content, what stages made, runs. Any number of processes may use it at once.
 *
 *     HOME/format                 version of this layout
 *     HOME/artifacts/TYPE/HEX/    manifest.json and the artifact's files
 *     HOME/cache/KEY.json         what a stage key made
 *     HOME/runs/RUN/              run folders
 *     HOME/scratch/KEY/           what a stage keeps over its attempts
 *     HOME/locks/KEY/             who is at a stage
 *     HOME/kept/DIGEST/KEY/       what a stage was paid for, beside that of the same stage with other inputs
 *     HOME/kept/DIGEST.asked/     what is asked for it now, by which process
 *     HOME/staging/               what is being written
 */
export class ArtifactStore {
  /** Absolute path. */
  readonly home: string;
  readonly stages: StageCache;
  /** What must not be removed, whatever the logs say. */
  readonly holds: Holds;
  readonly #home: StoreHome;

  private constructor(home: StoreHome, holds: Holds) {
    this.home = home.folder;
    this.holds = holds;
    this.#home = home;
    this.stages = new StoredStageCache(home, (uri) => this.has(uri));
  }

  /**
   * Opens a home, and removes what dead processes left half-written. One that is not there is made when first written to.
   * @param holds those of all stores of this process that have the home, where things are removed beside runs
   * @throws UserError `newer_format`, `home_damaged`
   */
  static async open(home: string, holds = new Holds()): Promise<ArtifactStore> {
    const opened = new StoreHome(resolve(home));
    await opened.check();
    await removeStaleStaging(opened.inside('staging'));
    return new ArtifactStore(opened, holds);
  }

  /**
   * An artifact with all its files in place; their content is not read (see `verify`).
   * @throws UserError `artifact_missing`, `artifact_file_missing`, `artifact_damaged`, `newer_format`, `invalid_artifact_uri`
   */
  async open(uri: string): Promise<Artifact | TableArtifact> {
    const { type, digest } = parseArtifactUri(uri);
    const folder = this.#folderOf(uri);
    const manifest = await readManifest(folder, type, digest);
    const isTable = type === 'dataset' || type === 'generations';
    const artifact = isTable ? new StoredTable(manifest, folder) : new StoredArtifact(manifest, folder);
    await artifact.checkFiles();
    return artifact;
  }

  /** Whether `open` would give it. */
  async has(uri: string): Promise<boolean> {
    return (await this.#openWhole(uri)) !== undefined;
  }

  /** Reads every byte of an artifact. @throws UserError as `open`, and `artifact_damaged` where a file has changed */
  async verify(uri: string): Promise<void> {
    const artifact = await this.open(uri);
    const found = await digestFiles(
      artifact.folder,
      artifact.files.map(({ path }) => path),
    );
    for (const [at, file] of artifact.files.entries()) {
      const path = artifact.path(file.path);
      if (found[at]?.sha256 === file.sha256) continue;
      throw new UserError('artifact_damaged', `The file ${path} of ${uri} is not the one that was written.`, {
        kind: 'environment',
        hint: `Remove ${artifact.folder}; what made it will make it again.`,
      });
    }
  }

  /** Bytes of the files of artifacts, as far as they are there and lie in the home. */
  async sizeOf(uris: readonly string[]): Promise<number> {
    let bytes = 0;
    for (const uri of uris) {
      const artifact = await this.#openWhole(uri);
      if (artifact === undefined || artifact.folder !== this.#folderOf(uri)) continue;
      bytes += artifact.files.reduce((sum, { size }) => sum + size, 0);
    }
    return bytes;
  }

  /** The artifacts, and those of the home that they refer to: a model may be the folder of another one. */
  async withReferences(uris: readonly string[]): Promise<ReadonlySet<string>> {
    const all = new Set(uris);
    for (const uri of [...all].filter(isModelUri)) {
      const artifact = await this.#openWhole(uri);
      const model = artifact === undefined ? undefined : await this.modelAround(artifact.folder);
      if (model !== undefined) all.add(model);
    }
    return all;
  }

  /** The model of the home that a folder is of, by its URI; undefined where it is none's. @param folder without links in its path */
  async modelAround(folder: string): Promise<string | undefined> {
    const artifacts = await realpath(this.#home.inside('artifacts')).catch(() => '');
    const [type, digest] = relative(artifacts, folder).split(sep);
    return type === 'model' && digest !== undefined ? artifactUri(type, digest) : undefined;
  }

  /**
   * Keeps artifacts from being removed until disposal, and those that they refer to. What is removed just now is gone when
   * this resolves: look only then whether they are there.
   */
  async hold(uris: readonly string[]): Promise<Disposable> {
    return this.holds.hold([...(await this.withReferences(uris))]);
  }

  /**
   * Takes artifacts out of their places, each of them whole, and what stages and runs kept over their attempts. The stages
   * that made them must be forgotten before. What is taken out takes space until disposal.
   * @param keepers stage keys, and ids of runs, whose scratch folders, locks, and folders of what was paid for, go
   */
  async takeOut(uris: readonly string[], keepers: readonly string[]): Promise<AsyncDisposable> {
    const staging = await makeStagingFolder(this.#home.inside('staging'), true);
    let count = 0;
    const moveOut = async (folder: string) => {
      count += 1;
      await rename(folder, join(staging.path, String(count))).catch(unlessMissing);
    };
    const names = new Set(keepers);
    /** Of thousands of keepers a folder holds few. */
    const moveOutOf = async (folder: string) => {
      for (const name of await namesIn(folder)) {
        const [keeper = ''] = name.split('.', 1);
        if (names.has(keeper)) await moveOut(join(folder, name));
      }
    };
    try {
      for (const uri of uris) await moveOut(this.#folderOf(uri));
      for (const folder of ['scratch', 'locks']) await moveOutOf(this.#home.inside(folder));
      const kept = this.#home.inside('kept');
      for (const digest of await namesIn(kept)) {
        const place = join(kept, digest);
        await moveOutOf(place);
        // Fails where something is left in it.
        const isGone = await rmdir(place).then(
          () => true,
          () => false,
        );
        // A process that was killed leaves what it asked there.
        if (isGone) await moveOut(askedBeside(place));
      }
    } catch (error) {
      await staging[Symbol.asyncDispose]();
      throw error;
    }
    return staging;
  }

  /** For one stage; its disposal removes what was not committed. */
  writer(): ArtifactWriter & AsyncDisposable {
    return new StoreWriter(this.#home, this);
  }

  /** Makes the home where it is missing, for who writes into it beside the store. */
  ready(): Promise<void> {
    return this.#home.ready();
  }

  /** Where runs are kept; nothing is made. */
  get runsFolder(): string {
    return this.#home.inside('runs');
  }

  /** Where a run is kept; nothing is made. */
  runFolder(runId: string): string {
    return join(this.runsFolder, requireName(runId));
  }

  /** Made where it is missing. Whoever asks for it removes it when the stage is done. */
  async scratchFolder(stageKey: string): Promise<string> {
    const folder = this.#home.inside('scratch', requireName(stageKey));
    await this.#home.ready();
    await writingTo(this.home, () => makeFolder(folder));
    return folder;
  }

  /**
   * As `scratchFolder`, for what stays when the stage is done; beside those of others with the same digest.
   * @param keeper a stage key, or the id of a run and, behind a dot, what keeps in it
   */
  async keptFolder(digest: string, keeper: string): Promise<string> {
    const folder = this.#home.inside('kept', requireName(digest), requireName(keeper));
    await this.#home.ready();
    await writingTo(this.home, () => makeFolder(folder));
    return folder;
  }

  /** The folders with a digest that there are: the one of a keeper, and those of others. */
  async keptFolders(digest: string, keeper?: string): Promise<{ readonly own?: string; readonly others: string[] }> {
    const around = this.#home.inside('kept', requireName(digest));
    const names = await namesIn(around);
    const others = names.filter((name) => name !== keeper).map((name) => join(around, name));
    return keeper !== undefined && names.includes(keeper) ? { own: join(around, keeper), others } : { others };
  }

  async #openWhole(uri: string): Promise<Artifact | undefined> {
    try {
      return await this.open(uri);
    } catch (error) {
      if (isUserError(error) && notWhole.has(error.code)) return undefined;
      throw error;
    }
  }

  #folderOf(uri: string): string {
    const { type, digest } = parseArtifactUri(uri);
    return this.#home.inside('artifacts', type, digest);
  }
}

/** None where there is no such folder. */
function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

const notWhole: ReadonlySet<string> = new Set([
  'artifact_missing',
  'artifact_file_missing',
  'artifact_damaged',
  'invalid_artifact_uri',
]);
