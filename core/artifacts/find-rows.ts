import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Row, TableArtifact } from './artifact.js';
import { quoteName } from './column-type.js';
import { damaged } from './damaged.js';
import { parquet, rowNumber } from './duckdb-tables.js';
import { tableFile } from './stored-artifact.js';

/** Looks rows up in tables by the value of one column, without reading the columns that nobody asks for. */
export class RowFinder implements Disposable {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
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

  /** The values of a column of text, each once, in no order. @throws UserError `artifact_damaged` */
  async values(table: TableArtifact, column: string): Promise<readonly string[]> {
    const name = quoteName(column);
    const rows = await this.#query(
      table,
      (file) => `SELECT DISTINCT ${name} AS v FROM ${parquet(file)} WHERE ${name} IS NOT NULL`,
    );
    return rows.map((row) => String(row.v));
  }

  [Symbol.dispose](): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }

  /** @param query SQL, given the file of the table */
  async #query(table: TableArtifact, query: (file: string) => string, values: string[] = []): Promise<readonly Row[]> {
    const file = table.path(tableFile);
    try {
      const result = await this.#connection.runAndReadAll(query(file), values);
      return result.getRowObjectsJS().map((row) => Object.fromEntries(Object.entries(row).map(asJson)));
    } catch (error) {
      throw damaged(file, error as Error);
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
