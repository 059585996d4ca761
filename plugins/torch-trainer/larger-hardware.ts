import { type Advice, builtInHardware } from 'simmerkit';

/** The share of an accelerator's memory that work may take: an allocator that is filled to the brim fails sooner. */
export const usableShare = 0.95;

/**
 * Another accelerator: the smallest with more memory that has room for the work, and where none has, the largest. Empty
 * where none has more memory.
 * @param bytes what the work takes of each accelerator @param has memory of the one that it is on now
 */
export function largerHardware(bytes: number, has: number): readonly Advice[] {
  const larger = Object.entries(builtInHardware)
    .filter(([, { memoryBytes }]) => memoryBytes > has)
    .sort(([, one], [, other]) => one.memoryBytes - other.memoryBytes);
  const [name, other] = larger.find(([, { memoryBytes }]) => bytes <= usableShare * memoryBytes) ?? larger.at(-1) ?? [];
  return other === undefined ? [] : [{ change: `hardware: ${name}`, bytes, memoryBytes: other.memoryBytes }];
}
