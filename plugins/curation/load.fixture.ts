import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { beforeEach } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { load } from './load.stage.js';

export type Options = Readonly<Record<string, unknown>>;

/** Two rows, and an empty line between them. */
export const lines = '{"question":"Q0","answer":0}\n\n{"question":"Q1","answer":"1"}';

/** `lines`, as `zstd` and as `xz` pack them. */
export const zstd = Buffer.from(
  'KLUv/SQ8bQEANAJ7InF1ZXN0aW9uIjoiUTAiLCJhbnN3ZXIiOjB9CgoxIjEifQIAwBAGWTkB1Lgofg==',
  'base64',
);
export const xz = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AA7ACxdAD2IiieTmMoqLYhFpK+KKUMD5oMygn68CBotV9Qaq5R6RGH+wcBp5BeEgncAAJfhhH8Gk73kAAFIPKEMSTcftvN9AQAAAAAEWVo=',
  'base64',
);

/** A row, as `xz --check=sha256` packs it. */
export const xzSha256 = Buffer.from(
  '/Td6WFoAAArh+wyhAgAhARYAAAB0L+WjAQAReyJxdWVzdGlvbiI6IlEwIn0KAAAA1eepqPNv4nIyIj2Y8+bRdOBFtellPh+QPd3qrqvy5jQAAUIS5OlwERibS5oBAAAAAApZWg==',
  'base64',
);

const threeRows = "SELECT 'Q' || i AS question, i AS level, ['t' || i] AS traces FROM range(3) rows(i)";

/** A folder for each test of a file, and `curation/load` in it. */
export function loadFolder() {
  let folder = '';
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  const loadWith = (options: Options) =>
    runStage(load, { options, recipeFolder: folder, cacheFolder: join(folder, 'cache') });

  return {
    /** A path in it. */
    inside: (...names: readonly string[]) => join(folder, ...names),
    loadWith,
    async loadFile(name: string, content: string | Uint8Array, source: Options = {}, options: Options = {}) {
      await writeFile(join(folder, name), content);
      return loadWith({ sources: { pool: { path: name, ...source } }, ...options });
    },
    /** What a query of DuckDB gives. @param query default: three rows with `question`, `level` and `traces` */
    async parquetFile(name: string, query = threeRows): Promise<void> {
      const instance = await DuckDBInstance.create(':memory:');
      const connection = await instance.connect();
      await connection.run(`COPY (${query}) TO '${join(folder, name)}' (FORMAT parquet)`);
      connection.closeSync();
      instance.closeSync();
    },
  };
}

export function questions(result: Awaited<ReturnType<typeof runStage>>): readonly unknown[] {
  return result.rows('dataset').map((row) => row.question);
}
