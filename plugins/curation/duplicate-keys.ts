import { setImmediate } from 'node:timers/promises';

/**
 * Keys of rows, 64 bits each, the same number for every row: rows that share one in the same column may be duplicates.
 * @param blocks low and high half in turn, row after row; a key of zero is none
 * @param keys of a row
 * @returns positions of the rows that share a key with another one, ascending
 */
export async function rowsThatShareKeys(blocks: readonly Uint32Array[], keys: number): Promise<Uint32Array> {
  const rows = blocks.reduce((sum, block) => sum + block.length / (2 * keys), 0);
  const shares = new Uint8Array(rows);
  const mask = 2 ** Math.ceil(Math.log2(2 * rows + 2)) - 1;
  const lows = new Uint32Array(rows);
  const highs = new Uint32Array(rows);
  for (let key = 0; key < keys; key++) {
    await setImmediate();
    let row = 0;
    for (const block of blocks) {
      for (let at = 2 * key; at < block.length; at += 2 * keys) {
        lows[row] = block[at] as number;
        highs[row++] = block[at + 1] as number;
      }
    }
    /** First row with a key, plus 1. */
    const firsts = new Uint32Array(mask + 1);
    for (let at = 0; at < rows; at++) {
      const low = lows[at] as number;
      const high = highs[at] as number;
      if (low === 0 && high === 0) continue;
      let slot = low & mask;
      for (; firsts[slot] !== 0; slot = (slot + 1) & mask) {
        const first = (firsts[slot] as number) - 1;
        if (lows[first] !== low || highs[first] !== high) continue;
        shares[first] = 1;
        shares[at] = 1;
        break;
      }
      if (firsts[slot] === 0) firsts[slot] = at + 1;
    }
  }
  return Uint32Array.from(shares.keys()).filter((at) => shares[at] === 1);
}
