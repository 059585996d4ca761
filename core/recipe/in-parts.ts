import { setImmediate as others } from 'node:timers/promises';

/** So many stages take a few milliseconds. */
const partLength = 50;

/** As `Promise.all` of the work, with a break after each part of it: a server that plans answers others in between. */
export async function inParts<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<Result> | Result,
): Promise<readonly Result[]> {
  const all = [...items];
  const results: Result[] = [];
  for (let at = 0; at < all.length; at += partLength) {
    if (at > 0) await others();
    results.push(...(await Promise.all(all.slice(at, at + partLength).map(work))));
  }
  return results;
}
