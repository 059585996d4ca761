import { createRequire } from 'node:module';

/**
 * DuckDB, required: of a CommonJS package that is imported, Node first looks through every file for names that it exports,
 * which takes as long as to load it, once more in each thread.
 */
const require = createRequire(import.meta.url);

export const {
  DuckDBBlobVector,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBListValue,
  DuckDBStructValue,
  listValue,
  structValue,
  version,
} = require('@duckdb/node-api') as typeof import('@duckdb/node-api');

const dataAccessors = require('@duckdb/node-api/lib/vectors/dataAccessors.js') as object;

// By itself it takes U+FEFF at the beginning of a text for a mark of a file, and leaves it out. This goes
// for all readers of the thread: what a plugin reads by DuckDB goes to a writer of tables in it.
Object.assign(dataAccessors, { textDecoder: new TextDecoder('utf-8', { ignoreBOM: true }) });
