/** A 95% normal quantile. */
const z = 1.959964;

/**
 * The 95% score interval of a share (Wilson 1927), 0 to 1: cheap enough for a live view, and right at 0 and 1, where it
 * matters while few are counted. Reports have bootstrap intervals, and this one where all problems went alike.
 * @throws RangeError where nothing was counted
 */
export function shareInterval(counted: number, of: number): readonly [number, number] {
  if (of === 0) throw new RangeError('no share of nothing');
  const share = counted / of;
  const spread = z * Math.sqrt((share * (1 - share)) / of + (z * z) / (4 * of * of));
  const scale = 1 + (z * z) / of;
  const center = share + (z * z) / (2 * of);
  return [Math.max(0, (center - spread) / scale), Math.min(1, (center + spread) / scale)];
}
