import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isUserError, UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder, syncFolder, writeAndSync, writeFileDurably } from '../files/durable-files.js';
import { unlessMissing } from '../files/unless-missing.js';
import type {
  Artifact,
  ArtifactFile,
  ArtifactManifest,
  ArtifactType,
  ArtifactWriter,
  DerivedRows,
  FileContent,
  Row,
  TableArtifact,
  TableOptions,
  ThreadedRows,
  ThreadedTable,
} from './artifact.js';
import { artifactUri } from './artifact-uri.js';
import { checkDerivedRows } from './check-derived-rows.js';
import { digestFile, digestFiles, listFiles } from './file-digest.js';
import type { Holds } from './holds.js';
import { createManifest, formatManifest, manifestFile } from './manifest.js';
import { makeStagingFolder, type StagingFolder } from './staging.js';
import type { StoreHome } from './store-home.js';
import { tableFile } from './stored-artifact.js';

/** What the writer asks of its store. */
interface OpensArtifacts {
  readonly holds: Holds;
  open(uri: string): Promise<Artifact | TableArtifact>;
  has(uri: string): Promise<boolean>;
  modelAround(folder: string): Promise<string | undefined>;
}

type Metadata = Readonly<Record<string, unknown>>;

/**
 * Writes artifacts: each is put together in a folder of its own, made durable, and then renamed to its digest. A process
 * that dies on the way leaves nothing that anybody would take for an artifact. What it wrote, or found written before, is
 * held until it is disposed of.
 */
export class StoreWriter implements ArtifactWriter, AsyncDisposable {
  readonly #home: StoreHome;
  readonly #store: OpensArtifacts;
  readonly #held: Disposable[] = [];
  #staging: Promise<StagingFolder> | undefined;
  #folders = 0;
  #isDisposed = false;

  constructor(home: StoreHome, store: OpensArtifacts) {
    this.#home = home;
    this.#store = store;
  }

  writeDataset(rows: AsyncIterable<Row> | Iterable<Row>, options: TableOptions): Promise<TableArtifact> {
    return this.#writeTable('dataset', rows, options);
  }

  writeGenerations(rows: AsyncIterable<Row> | Iterable<Row>, options: TableOptions): Promise<TableArtifact> {
    return this.#writeTable('generations', rows, options);
  }

  writeDatasetInThreads<Settings, Task, Told>(work: ThreadedRows<Settings, Task>): Promise<ThreadedTable<Told>> {
    return this.#inNewFolder(async (folder) => {
      const { makeTable } = await import('./threaded-table.js');
      const file = join(folder, tableFile);
      const { content, rowCount, told } = await makeTable<Settings, Task, Told>(file, `${folder}.spill`, work);
      const metadata = { rowCount, columns: work.columns };
      return { table: await this.#publishTable(folder, 'dataset', content, metadata), told };
    });
  }

  async deriveDataset(table: TableArtifact, derived: DerivedRows): Promise<TableArtifact> {
    checkDerivedRows(table, derived);
    const rowCount = derived.positions?.length ?? table.rowCount;
    const isAll = rowCount === table.rowCount && derived.columns === undefined && derived.added === undefined;
    if (table.type === 'dataset' && isAll) return table;
    return this.#inNewFolder(async (folder) => {
      const { deriveTable } = await import('./derive-table.js');
      const taken = derived.columns?.map((name) => [name, table.columns[name] as string]);
      const columns = {
        ...(taken === undefined ? table.columns : Object.fromEntries(taken)),
        ...derived.added?.columns,
      };
      const file = join(folder, tableFile);
      const scratchFolder = `${folder}.spill`;
      const content = await deriveTable(file, { ...derived, from: table.path(tableFile), columns, scratchFolder });
      const metadata = derived.columns === undefined ? table.metadata : {};
      return this.#publishTable(folder, 'dataset', content, { ...metadata, rowCount, columns });
    });
  }

  writeReport(content: unknown, metadata: Metadata = {}): Promise<Artifact> {
    const text = JSON.stringify(content, null, 2);
    if (text === undefined) throw new TypeError('A report needs content that is JSON.');
    return this.#inNewFolder(async (folder) => {
      const file = join(folder, 'report.json');
      await writeAndSync(file, `${text}\n`);
      return this.#publish(folder, 'report', [await digestFile(file, 'report.json')], metadata);
    });
  }

  /**
   * The folder itself becomes the artifact, in one rename: a process that dies before it leaves the folder as it was, but
   * for a manifest, and may commit it again.
   */
  async commitModel(folder: string, metadata: Metadata = {}): Promise<Artifact> {
    const source = resolve(folder);
    await this.#requireCommittable(source);
    const paths = (await listFiles(source, 'refuse')).filter((path) => path !== manifestFile);
    const files = await digestFiles(source, paths, { sync: true });
    requireFiles(source, files);
    await writingTo(source, () => syncFolders(source, paths));
    await rm(join(source, manifestFile), { force: true });
    return this.#publish(source, 'model', files, metadata);
  }

  async referenceModel(folder: string, metadata: Metadata = {}): Promise<Artifact> {
    const location = await realpath(folder).catch(() => resolve(folder));
    const model = await this.#store.modelAround(location);
    if (model !== undefined) await this.#hold(model);
    const files = await digestFiles(location, await listFiles(location, 'follow'));
    requireFiles(location, files);
    return this.#inNewFolder((own) => this.#publish(own, 'model', files, metadata, location));
  }

  temporaryFolder(): Promise<string> {
    return writingTo(this.#home.folder, () => this.#newFolder());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    const staging = await this.#staging?.catch(() => undefined);
    await staging?.[Symbol.asyncDispose]();
    for (const held of this.#held) held[Symbol.dispose]();
  }

  async #hold(uri: string): Promise<void> {
    this.#held.push(await this.#store.holds.hold([uri]));
  }

  #writeTable(
    type: 'dataset' | 'generations',
    rows: AsyncIterable<Row> | Iterable<Row>,
    options: TableOptions,
  ): Promise<TableArtifact> {
    // In plain JavaScript nobody else says so.
    if ((options as Partial<TableOptions> | undefined)?.columns === undefined) {
      const example = "{ columns: { ...inputs.dataset.columns, score: 'DOUBLE' } }";
      return Promise.reject(new TypeError(`a table is written with the types of its columns: ${example}`));
    }
    if (!isIterable(rows)) {
      return Promise.reject(
        new TypeError(`a table is written from an array or an iterable of rows, not from ${kindOfRows(rows)}`),
      );
    }
    return this.#inNewFolder(async (folder) => {
      // Loaded here, since DuckDB takes longer to load than most commands run.
      const { writeTable } = await import('./table-file.js');
      const { columns } = options;
      const file = join(folder, tableFile);
      const scratchFolder = `${folder}.spill`;
      const { content, rowCount } = await writeTable(file, rows, { columns, scratchFolder });
      return this.#publishTable(folder, type, content, { ...options.metadata, rowCount, columns });
    });
  }

  async #publishTable(
    folder: string,
    type: TableArtifact['type'],
    content: FileContent,
    metadata: Metadata,
  ): Promise<TableArtifact> {
    return (await this.#publish(folder, type, [{ path: tableFile, ...content }], metadata)) as TableArtifact;
  }

  async #inNewFolder<T>(write: (folder: string) => Promise<T>): Promise<T> {
    return writingTo(this.#home.folder, async () => {
      const folder = await this.#newFolder();
      try {
        return await write(folder);
      } catch (error) {
        if (isUserError(error) || existsSync(dirname(folder))) throw error;
        throw this.#isDisposed ? stageEnded(error) : stagingRemoved(dirname(folder), error);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }

  async #newFolder(): Promise<string> {
    if (this.#isDisposed) throw stageEnded();
    await this.#home.ready();
    this.#staging ??= makeStagingFolder(this.#home.inside('staging'));
    const { path } = await this.#staging;
    this.#folders += 1;
    const folder = join(path, String(this.#folders));
    await mkdir(folder);
    return folder;
  }

  /** Writes the manifest, makes the folder durable, and moves it to where its digest says. */
  async #publish(
    folder: string,
    type: ArtifactType,
    files: readonly ArtifactFile[],
    metadata: Metadata,
    location?: string,
  ): Promise<Artifact> {
    const manifest = createManifest({ type, files, metadata }, location);
    const uri = artifactUri(type, manifest.digest);
    await this.#hold(uri);
    await writingTo(this.#home.folder, async () => {
      await writeFileDurably(join(folder, manifestFile), formatManifest(manifest));
      await this.#moveIn(folder, manifest);
    });
    return this.#store.open(uri);
  }

  async #moveIn(folder: string, manifest: ArtifactManifest): Promise<void> {
    const target = this.#home.inside('artifacts', manifest.type, manifest.digest);
    await this.#home.ready();
    await makeFolder(dirname(target));
    while (!(await renames(folder, target))) {
      if (await this.#store.has(artifactUri(manifest.type, manifest.digest))) {
        // Another process, or an earlier run, wrote the same.
        await rm(folder, { recursive: true, force: true });
        break;
      }
      // Its files were removed or are elsewhere now: what is new takes its place. Another process may be quicker.
      await rename(target, await this.#newFolder()).catch(unlessMissing);
    }
    await syncFolder(dirname(target));
  }

  /** A manifest that a former try of ours left is replaced; any other would be lost. */
  async #requireCommittable(folder: string): Promise<void> {
    const text = await readFile(join(folder, manifestFile), 'utf8').catch(() => undefined);
    if (text === undefined || isModelManifest(text)) return;
    throw new UserError('model_has_manifest', `${folder} has a ${manifestFile} of its own, a name that Simmer uses.`, {
      hint: 'Remove or rename it before the folder is committed.',
    });
  }
}

/** As where a stage does not await what it writes. */
function stageEnded(cause?: unknown): Error {
  return new Error('The stage has ended; it can write no more artifacts.', { cause });
}

function stagingRemoved(staging: string, cause: unknown): UserError {
  return new UserError('home_damaged', `The folder ${staging} was removed while an artifact was written to it.`, {
    kind: 'environment',
    hint: 'Leave a home as it is while runs use it. Then go on with: simmer resume latest',
    cause,
  });
}

/** False where the target holds something. */
async function renames(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

async function syncFolders(folder: string, paths: readonly string[]): Promise<void> {
  const inner = new Set<string>();
  for (const path of paths) {
    for (let part = dirname(path); part !== '.'; part = dirname(part)) inner.add(part);
  }
  for (const part of inner) await syncFolder(join(folder, part));
}

function requireFiles(folder: string, files: readonly ArtifactFile[]): void {
  if (files.length > 0) return;
  throw new UserError('empty_model', `The model folder ${folder} holds no files.`, { kind: 'runFailed' });
}

function isModelManifest(text: string): boolean {
  try {
    const value = JSON.parse(text) as Partial<ArtifactManifest> | null;
    return value?.format === 1 && value.type === 'model' && typeof value.digest === 'string';
  } catch {
    return false;
  }
}

function isIterable(rows: unknown): boolean {
  return typeof rows === 'object' && rows !== null && (Symbol.asyncIterator in rows || Symbol.iterator in rows);
}

function kindOfRows(rows: unknown): string {
  return rows instanceof Promise ? 'a promise: await it' : rows === null ? 'null' : `a value of type ${typeof rows}`;
}
