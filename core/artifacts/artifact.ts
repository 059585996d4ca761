/** The kinds of thing that stages hand to each other. Each is a folder, found by the digest of its content. */
export type ArtifactType = 'dataset' | 'model' | 'generations' | 'report';

/** `simmer://TYPE/sha256-HEX`: names content, not a place. */
export type ArtifactUri = string & { readonly __brand: 'ArtifactUri' };

/** What a file holds. */
export interface FileContent {
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** One file of an artifact. */
export interface ArtifactFile extends FileContent {
  /** Relative to the artifact's folder, with forward slashes. */
  readonly path: string;
}

/** `manifest.json`, written last: a folder without it is no artifact. The digest covers type, files and metadata. */
export interface ArtifactManifest {
  readonly format: 1;
  readonly type: ArtifactType;
  /** Hex SHA-256 of the canonical JSON of {type, files, metadata}. */
  readonly digest: string;
  readonly files: readonly ArtifactFile[];
  /** Facts about the content that readers want without opening it; never times, paths or hosts. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /**
   * Where the files are, if not beside the manifest: models in the user's cache folder are referenced, never copied.
   * Not part of the digest.
   */
  readonly location?: string;
}

/** One row of a dataset: plain JSON values. */
export type Row = Readonly<Record<string, unknown>>;

/** Column name to DuckDB type: "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR[]", "STRUCT(role VARCHAR, content VARCHAR)[]". */
export type Columns = Readonly<Record<string, string>>;

/** An artifact that exists, as stages get it. */
export interface Artifact {
  readonly uri: ArtifactUri;
  readonly type: ArtifactType;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Absolute path of the folder that holds its files. */
  readonly folder: string;
  readonly files: readonly ArtifactFile[];
  /** Absolute path of one of its files. @throws UserError `artifact_file_missing` */
  path(file: string): string;
}

/** A dataset or generations artifact: `data.parquet` (zstd), read row by row in its order. May be read many times. */
export interface TableArtifact extends Artifact {
  readonly type: 'dataset' | 'generations';
  readonly rowCount: number;
  readonly columns: Columns;
  /** Absent where the rows are only in this thread, as in tests. */
  readonly location?: TableLocation;
  rows(reading?: RowReading): AsyncIterable<Row>;
}

/** Where the rows of a table are, for another thread. */
export interface TableLocation {
  /** Absolute path of a Parquet file. */
  readonly file: string;
  readonly columns: Columns;
}

/** Which part of a table is read; what is not asked for costs next to nothing. */
export interface RowReading {
  /** @default all */
  readonly columns?: readonly string[];
  /** Where the rows stand, from 0, ascending; or from one to before another. @default all */
  readonly positions?: Uint32Array | { readonly first: number; readonly end: number };
}

export interface TableOptions {
  /** Fixes names, order and types of the columns, so that the same rows give the same bytes. */
  readonly columns: Columns;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Rows of a table by where they stand in it, and columns beside theirs. */
export interface DerivedRows {
  /** Positions of the rows, from 0, ascending. @default all rows */
  readonly positions?: Uint32Array;
  /** Names of the table's columns that are taken. @default all */
  readonly columns?: readonly string[];
  readonly added?: AddedColumns;
  /** Ends it between two row groups. */
  readonly signal?: AbortSignal;
  /** Hears of rows as they are written, row groups at a time. */
  readonly onRows?: (count: number) => void;
}

/** More columns, or new values for columns that are there. */
export interface AddedColumns {
  readonly columns: Columns;
  /** One for each row that is taken, or for those that `few` names; made by its index when it is written, where there are many. */
  readonly rows: readonly Row[] | ((index: number) => Row);
  /** Where `rows` are only for few of the rows that are taken: the positions of these, ascending, and what the others get. */
  readonly few?: { readonly positions: Uint32Array; readonly others: Row };
}

/** Rows that a module for threads makes of a task, and what else there is to say of it once they are made. */
export interface MadeRows<Told> {
  readonly rows: AsyncIterable<Row> | Iterable<Row>;
  told(): Told;
}

/** What a module for threads exports as `start`: made once a thread, then called with task after task. */
export type StartRows<Settings, Task, Told> = (settings: Settings) => (task: Task) => MadeRows<Told>;

export interface ThreadedRows<Settings, Task> {
  readonly columns: Columns;
  /** Exports `start`, a `StartRows`. */
  readonly module: URL;
  /** Copied to each thread, as tasks are, and what they tell back. */
  readonly settings: Settings;
  /** At least one. Each becomes row groups of its own: some megabytes of rows, where there are so many. */
  readonly tasks: AsyncIterable<Task> | Iterable<Task>;
  /** So little that it is done before threads have started. @default false */
  readonly isLittle?: boolean;
  readonly signal: AbortSignal;
  /** Hears of rows as they are made. */
  readonly onRows?: (count: number) => void;
}

/** A table, and what was told of each task. */
export interface ThreadedTable<Told> {
  readonly table: TableArtifact;
  readonly told: readonly Told[];
}

/** How a stage makes artifacts. Each returns a complete, durable artifact; the same content twice is the same artifact. */
export interface ArtifactWriter {
  writeDataset(rows: AsyncIterable<Row> | Iterable<Row>, options: TableOptions): Promise<TableArtifact>;
  /**
   * Writes the rows that threads make of tasks, in the order of the tasks: the same tasks give the same bytes on any
   * number of cores.
   */
  writeDatasetInThreads<Settings, Task, Told>(work: ThreadedRows<Settings, Task>): Promise<ThreadedTable<Told>>;
  /**
   * Some rows of a table, with more columns where asked for. What is not new goes from file to file, and never through
   * this process's objects: dropping rows of long texts costs a fraction of writing them again. Its metadata is the
   * table's, where all columns are taken. All rows and columns of a dataset, with nothing added, are that dataset.
   */
  deriveDataset(table: TableArtifact, derived: DerivedRows): Promise<TableArtifact>;
  writeGenerations(rows: AsyncIterable<Row> | Iterable<Row>, options: TableOptions): Promise<TableArtifact>;
  /** A report is `report.json` (any JSON). */
  writeReport(content: unknown, metadata?: Readonly<Record<string, unknown>>): Promise<Artifact>;
  /** Moves the files of a folder (on the store's file system) into a model artifact. */
  commitModel(folder: string, metadata?: Readonly<Record<string, unknown>>): Promise<Artifact>;
  /** A model artifact whose files stay where they are. */
  referenceModel(folder: string, metadata?: Readonly<Record<string, unknown>>): Promise<Artifact>;
  /** A new, empty folder on the store's file system; removed when the stage ends, if still there. */
  temporaryFolder(): Promise<string>;
}
