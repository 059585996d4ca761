import { createHash } from 'node:crypto';

/** A stream of random numbers that is the same on every machine for the same seed. */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Uniform integer in [0, bound). @param bound 1 to 2^53 */
  integer(bound: number): number;
  /** One of the items, uniformly. @throws RangeError where there is none */
  pick<T>(items: readonly T[]): T;
  /** A new array in random order (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** The same array, for many items. @param turn awaited now and then: others may go on meanwhile */
  shuffleInTurns<T>(items: readonly T[], turn: () => Promise<void>): Promise<T[]>;
}

/** Items that are put in their places between two turns of others: a moment's work. */
const itemsATurn = 10_000;

/**
 * A random stream for a seed and a purpose: two purposes of one seed are independent, so that adding a draw in one place
 * changes nothing elsewhere. xoshiro128** seeded by SHA-256.
 */
export function random(seed: number | bigint, purpose = ''): Random {
  const digest = createHash('sha256').update(`${seed}\u0000${purpose}`).digest();
  const state = new Uint32Array([0, 4, 8, 12].map((offset) => digest.readUInt32LE(offset)));
  const next32 = (): number => {
    const [s0, s1, s2, s3] = state as unknown as [number, number, number, number];
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const mixed2 = s2 ^ s0;
    const mixed3 = s3 ^ s1;
    state[1] = s1 ^ mixed2;
    state[0] = s0 ^ mixed3;
    state[2] = mixed2 ^ (s1 << 9);
    state[3] = (mixed3 << 11) | (mixed3 >>> 21);
    return result;
  };
  const next = (): number => ((next32() >>> 5) * 0x4000000 + (next32() >>> 6)) / 0x20000000000000;
  const integer = (bound: number): number => {
    if (!Number.isSafeInteger(bound) || bound < 1)
      throw new RangeError(`bound must be a positive integer, not ${bound}`);
    return Math.floor(next() * bound);
  };
  const swapIn = <T>(items: T[], last: number): void => {
    const other = integer(last + 1);
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  };
  return {
    next,
    integer,
    pick(items) {
      if (items.length === 0) throw new RangeError('cannot pick from nothing');
      return items[integer(items.length)] as (typeof items)[number];
    },
    shuffle(items) {
      const result = [...items];
      for (let last = result.length - 1; last > 0; last--) swapIn(result, last);
      return result;
    },
    async shuffleInTurns(items, turn) {
      const result = [...items];
      for (let last = result.length - 1; last > 0; last--) {
        if ((result.length - 1 - last) % itemsATurn === 0) await turn();
        swapIn(result, last);
      }
      return result;
    },
  };
}
