import { createHash } from 'node:crypto';

/** A number in [0, 1) that depends on nothing but the parts. */
export function unitHash(...parts: readonly (string | number | bigint)[]): number {
  return createHash('sha256').update(parts.join('\u0000')).digest().readUInt32LE(0) / 2 ** 32;
}

/** An integer in [0, bound) that depends on nothing but the parts. */
export function integerHash(bound: number, ...parts: readonly (string | number | bigint)[]): number {
  return Math.floor(unitHash(...parts) * bound);
}
