import { keysOfRow, start } from '../../plugins/curation/deduplicate.work.js';
import { DuplicateFinder } from '../../plugins/curation/duplicate-finder.js';
import { rowsThatShareKeys } from '../../plugins/curation/duplicate-keys.js';
import { NearSketch } from '../../plugins/curation/near-sketch.js';
import { TextStore } from '../../plugins/curation/text-store.js';
import { settings } from './curation-run.js';

/** Near duplicates against brute force over all pairs of some texts. */
interface NearMeasure {
  readonly texts: number;
  /** Pairs whose Jaccard similarity reaches the threshold, computed from their sets of shingles. */
  readonly pairs: number;
  /** Of them, the share that shares a band: what can be found. */
  readonly recall: number;
  /** Rows that were dropped, and the share of them that is as similar to a kept row as asked. */
  readonly dropped: number;
  readonly precision: number;
  /** Pairs that were compared, in all. */
  readonly candidates: number;
}

/** @param folder an empty one */
export async function measureNear(texts: readonly string[], folder: string): Promise<NearMeasure> {
  const near = { similarity: settings.similarity, words: settings.shingleWords, hashes: settings.hashes, seed: 1 };
  const given = { columns: ['text'], ignoreCaseAndSpace: false, near };
  const sketch = new NearSketch(near);
  const keys = start(given)(texts.map((text) => ({ text: Buffer.from(text) })));
  const size = 2 * keysOfRow(sketch);
  const keysAt = (row: number) => keys.subarray(size * row, size * (row + 1));
  const shares = (one: number, other: number) => {
    const [mine, theirs] = [keysAt(one), keysAt(other)];
    return Array.from({ length: size / 2 }, (_, key) => key).some(
      (key) => mine[2 * key] === theirs[2 * key] && mine[2 * key + 1] === theirs[2 * key + 1],
    );
  };
  const similar = similarPairs(texts);
  const found = similar.filter(([one, other]) => shares(one, other)).length;
  let candidates = 0;
  for (const row of texts.keys()) for (let other = 0; other < row; other++) if (shares(row, other)) candidates++;
  using store = new TextStore(folder);
  const finder = new DuplicateFinder(given, sketch, store);
  const dropped = new Set<number>();
  for (const row of await rowsThatShareKeys([keys], keysOfRow(sketch))) {
    if (finder.judge(texts[row] as string, String(row), keysAt(row)) !== undefined) dropped.add(row);
  }
  const right = new Set(similar.flatMap(([one, other]) => (dropped.has(other) && !dropped.has(one) ? [other] : [])));
  return {
    texts: texts.length,
    pairs: similar.length,
    recall: found / similar.length,
    dropped: dropped.size,
    precision: right.size / dropped.size,
    candidates,
  };
}

/** Every pair at or above the threshold, the earlier text first; by counting the shingles that two texts share. */
function similarPairs(texts: readonly string[]): (readonly [number, number])[] {
  const having = new Map<string, number[]>();
  const sizes: number[] = [];
  const pairs: (readonly [number, number])[] = [];
  for (const [row, text] of texts.entries()) {
    const words = text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== '');
    const length = Math.min(settings.shingleWords, words.length);
    const shingles = new Set(words.slice(length - 1).map((_, at) => words.slice(at, at + length).join(' ')));
    const common = new Uint32Array(row);
    for (const shingle of shingles) {
      const rows = having.get(shingle) ?? [];
      for (const other of rows) common[other] = (common[other] as number) + 1;
      having.set(shingle, [...rows, row]);
    }
    sizes.push(shingles.size);
    for (const [other, shared] of common.entries()) {
      const all = shingles.size + (sizes[other] as number) - shared;
      if (shared > 0 && shared / all >= settings.similarity) pairs.push([other, row]);
    }
  }
  return pairs;
}
