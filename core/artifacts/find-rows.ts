import type { DuckDBConnection, DuckDBInstance as Instance } from '@duckdb/node-api';
import type { Row, TableArtifact } from './artifact.js';
import { quoteName } from './column-type.js';
import { damaged } from './damaged.js';
import { DuckDBInstance } from './duckdb.js';
import { parquet, rowNumber } from './duckdb-tables.js';
import { tableFile } from './stored-artifact.js';

/** Looks rows up in tables by the value of one column, without reading the columns that nobody asks for. */
export class RowFinder implements Disposable {
  readonly #instance: Instance;
  readonly #connection: DuckDBConnection;

  private constructor(instance: Instance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.#connection = connection;
  }

  static async open(): Promise<RowFinder> {
    const instance = await DuckDBInstance.create(':memory:', { preserve_insertion_order: 'true' });
    return new RowFinder(instance, await instance.connect());
  }

  /**
   * The rows whose column has the value, in their order.
   * @param wanted scalar columns; those that the table does not have are left out
   * @throws UserError `artifact_damaged`
   */
  rows(table: TableArtifact, where: { readonly column: string; readonly value: string }, wanted: readonly string[]) {
    const columns = wanted.filter((name) => name in table.columns).map(quoteName);
    return this.#query(
      table,
      (file) => `SELECT ${columns.join(', ')} FROM ${parquet(file)} WHERE ${quoteName(where.column)} = $1`,
      [where.value],
    );
  }

  /**
   * The ids and questions of the first rows whose question has a text in it, whatever the case and the white space
   * between words.
   * @throws UserError `artifact_damaged`
   */
  async questionsWith(table: TableArtifact, text: string, count: number) {
    const rows = await this.#query(
      table,
      (file) =>
        `SELECT id, question FROM ${parquet(file)} WHERE contains(${spaced('question')}, ${spaced('$1')}) LIMIT ${count}`,
      [text],
    );
    return rows.map(({ id, question }) => ({ id: String(id), question: String(question) }));
  }

  /**
   * The ids of the first rows that have a text, or the integer that it spells, in one of some columns, and in which.
   * @throws UserError `artifact_damaged`
   */
  async idsWith(table: TableArtifact, columns: readonly string[], text: string, count: number) {
    const where = columns.map((name) => `CAST(${quoteName(name)} AS VARCHAR) = $1`);
    const places = where.map((holds, index) => `WHEN ${holds} THEN ${index}`).join(' ');
    const rows = await this.#query(
      table,
      (file) =>
        `SELECT DISTINCT id, CASE ${places} END AS place FROM ${parquet(file)} WHERE ${where.join(' OR ')} ORDER BY id LIMIT ${count}`,
      [text],
    );
    return rows.map(({ id, place }) => ({ id: String(id), column: columns[Number(place)] as string }));
  }

  /**
   * Where the rows are whose column has the value: places from 1, in their order. None where the table has a column of the
   * name by which DuckDB calls them.
   * @throws UserError `artifact_damaged`
   */
  async places(table: TableArtifact, where: { readonly column: string; readonly value: string }) {
    if (Object.keys(table.columns).some((name) => name.toLowerCase() === rowNumber)) return [];
    const rows = await this.#query(
      table,
      (file) => `SELECT file_row_number AS place FROM ${parquet(file, true)} WHERE ${quoteName(where.column)} = $1`,
      [where.value],
    );
    return rows.map(({ place }) => 1 + Number(place));
  }

  /** Of the ids in tables that begin with a text, the first few, and how many there are. @throws UserError `artifact_damaged` */
  async idsBeginning(tables: readonly TableArtifact[], text: string, count: number) {
    const rows = await this.#queryIds(
      tables,
      (ids) => `SELECT id, count(*) OVER () AS total FROM ${ids} WHERE starts_with(id, $1) ORDER BY id LIMIT ${count}`,
      [text],
    );
    return { ids: rows.map(({ id }) => String(id)), total: Number(rows[0]?.total ?? 0) };
  }

  /** The few ids in tables that are written most like a text, of those that are not a third longer or shorter. @throws UserError `artifact_damaged` */
  async idsLike(tables: readonly TableArtifact[], text: string, count: number): Promise<readonly string[]> {
    const rows = await this.#queryIds(
      tables,
      (ids) =>
        `SELECT id FROM ${ids} WHERE 3 * abs(length(id) - length($1)) <= greatest(3, length(id), length($1))
         ORDER BY damerau_levenshtein(lower(id), lower($1)), id LIMIT ${count}`,
      [text],
    );
    return rows.map(({ id }) => String(id));
  }

  /** How many ids tables have. @throws UserError `artifact_damaged` */
  async countIds(tables: readonly TableArtifact[]): Promise<number> {
    const [row] = await this.#queryIds(tables, (ids) => `SELECT count(*) AS total FROM ${ids}`);
    return Number(row?.total ?? 0);
  }

  [Symbol.dispose](): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }

  /** @param query SQL, given the file of the table */
  async #query(table: TableArtifact, query: (file: string) => string, values: string[] = []): Promise<readonly Row[]> {
    const file = table.path(tableFile);
    return this.#read(query(file), values, () => file);
  }

  /** @param query SQL, given a table of the ids in all tables, each once, in the column `id` as text */
  async #queryIds(tables: readonly TableArtifact[], query: (ids: string) => string, values: string[] = []) {
    const files = tables.map((table) => table.path(tableFile));
    const [first] = files;
    if (first === undefined) return [];
    const columns = files.map((file) => `SELECT id FROM ${parquet(file)} WHERE id IS NOT NULL`);
    const ids = `(SELECT DISTINCT CAST(id AS VARCHAR) AS id FROM (${columns.join(' UNION ALL ')}))`;
    return this.#read(query(ids), values, (message) => files.find((file) => message.includes(file)) ?? first);
  }

  /** @param fileOf which file an error is about */
  async #read(sql: string, values: string[], fileOf: (message: string) => string): Promise<readonly Row[]> {
    try {
      const result = await this.#connection.runAndReadAll(sql, values);
      return result.getRowObjectsJS().map((row) => Object.fromEntries(Object.entries(row).map(asJson)));
    } catch (error) {
      throw damaged(fileOf((error as Error).message), error as Error);
    }
  }
}

/** SQL of a text in small letters, with one space between words. */
function spaced(text: string): string {
  return String.raw`regexp_replace(lower(${text}), '[\s\p{Z}\p{Cc}]+', ' ', 'g')`;
}

/** Only such integers were written as a number can hold. */
function asJson([name, value]: [string, unknown]): [string, unknown] {
  return [name, typeof value === 'bigint' ? Number(value) : value];
}
