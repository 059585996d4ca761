import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type {
  Artifact,
  ArtifactFile,
  ArtifactManifest,
  ArtifactType,
  ArtifactUri,
  Columns,
  Row,
  RowReading,
  TableArtifact,
  TableLocation,
} from './artifact.js';
import { artifactUri } from './artifact-uri.js';

/** The file of a table artifact. */
export const tableFile = 'data.parquet';

/** An artifact of the store as stages get it. */
export class StoredArtifact implements Artifact {
  readonly uri: ArtifactUri;
  readonly type: ArtifactType;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly folder: string;
  readonly files: readonly ArtifactFile[];

  /** @param storeFolder the folder of its manifest */
  constructor(manifest: ArtifactManifest, storeFolder: string) {
    this.uri = artifactUri(manifest.type, manifest.digest);
    this.type = manifest.type;
    this.metadata = manifest.metadata;
    this.folder = manifest.location ?? storeFolder;
    this.files = manifest.files;
  }

  path(name: string): string {
    const file = this.files.find(({ path }) => path === name);
    if (file === undefined) {
      throw new UserError('artifact_file_missing', `The artifact ${this.uri} has no file "${name}".`, {
        kind: 'environment',
        hint: `It has: ${this.files.map(({ path }) => path).join(', ')}.`,
      });
    }
    const path = join(this.folder, name);
    this.#check(file, path, statSync(path, { throwIfNoEntry: false })?.size);
    return path;
  }

  /** @throws UserError `artifact_file_missing` where a file is gone or has another size */
  async checkFiles(): Promise<void> {
    for (const file of this.files) {
      const path = join(this.folder, file.path);
      this.#check(file, path, (await stat(path).catch(() => undefined))?.size);
    }
  }

  #check(file: ArtifactFile, path: string, size: number | undefined): void {
    if (size === file.size) return;
    const found = size === undefined ? 'is not there' : `has ${size} bytes, not ${file.size}`;
    throw new UserError('artifact_file_missing', `A file of the artifact ${this.uri} ${found}: ${path}.`, {
      kind: 'environment',
      hint: 'Put the file back, or run the recipe that makes the artifact again.',
    });
  }
}

/** A dataset or generations artifact of the store. */
export class StoredTable extends StoredArtifact implements TableArtifact {
  declare readonly type: 'dataset' | 'generations';
  readonly rowCount: number;
  readonly columns: Columns;

  constructor(manifest: ArtifactManifest, storeFolder: string) {
    super(manifest, storeFolder);
    const { rowCount, columns } = manifest.metadata;
    this.rowCount = rowCount as number;
    this.columns = columns as Columns;
  }

  get location(): TableLocation {
    return { file: this.path(tableFile), columns: this.columns };
  }

  async *rows({ columns = Object.keys(this.columns), positions }: RowReading = {}): AsyncIterable<Row> {
    const { readTable } = await import('./table-file.js');
    const read = Object.fromEntries(columns.map((column) => [column, this.columns[column] ?? '']));
    yield* readTable(this.path(tableFile), read, positions === undefined ? {} : { positions });
  }
}
