import type { PointDiff } from '../engine/past-runs/eval-diff.js';

/**
 * JSON of what changed between two runs, in UTF-8 and in order, never all of it at once: the answers of large runs
 * together are longer than a string can be.
 *
 * @param bytes of each chunk but the last
 */
export function* jsonChunks(points: readonly PointDiff[], bytes: number): Iterable<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  for (const part of jsonParts(points)) {
    let rest = Buffer.from(part);
    while (size + rest.length >= bytes) {
      yield Buffer.concat([...waiting, rest.subarray(0, bytes - size)]);
      rest = rest.subarray(bytes - size);
      waiting = [];
      size = 0;
    }
    waiting.push(rest);
    size += rest.length;
  }
  if (size > 0) yield Buffer.concat(waiting);
}

function* jsonParts(points: readonly PointDiff[]): Iterable<string> {
  yield '[';
  for (const [index, { changed, ...point }] of points.entries()) {
    yield `${index === 0 ? '' : ','}${JSON.stringify(point).slice(0, -1)},"changed":[`;
    for (const [place, item] of changed.entries()) yield `${place === 0 ? '' : ','}${JSON.stringify(item)}`;
    yield ']}';
  }
  yield ']';
}
