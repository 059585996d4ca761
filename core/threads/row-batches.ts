import type { Row } from '../artifacts/artifact.js';

const mostRows = 256;
/** Characters or bytes in the texts of a batch, about. */
const mostText = 2 ** 20;

/** A few hundred rows at a time; fewer, where they are long. */
export async function* batchesOf(rows: AsyncIterable<Row>): AsyncIterable<readonly Row[]> {
  let batch: Row[] = [];
  let text = 0;
  for await (const row of rows) {
    batch.push(row);
    for (const value of Object.values(row))
      if (typeof value === 'string' || value instanceof Uint8Array) text += value.length;
    if (batch.length < mostRows && text < mostText) continue;
    yield batch;
    batch = [];
    text = 0;
  }
  if (batch.length > 0) yield batch;
}
