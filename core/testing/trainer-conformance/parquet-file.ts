import { connectToRead, quoteText } from '../../artifacts/duckdb-tables.js';

/** Makes a Parquet file of what a query gives. */
export async function writeParquet(file: string, query: string): Promise<void> {
  const connection = await connectToRead();
  try {
    await connection.run(`COPY (${query}) TO ${quoteText(file)} (FORMAT parquet)`);
  } finally {
    connection.closeSync();
  }
}
