import { z } from 'zod';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** An amount of memory: bytes, or text like "16 GiB". Comes out in bytes. */
export const byteSize = z
  .union([
    z.int().min(1),
    z.string().regex(/^\d+(\.\d+)?\s*([kmgt]i?)?b?$/i, 'an amount of memory reads like "16 GiB".'),
  ])
  .transform((size) => {
    if (typeof size === 'number') return size;
    const [, amount, unit] = /^([\d.]+)\s*([a-z]*)$/i.exec(size)!;
    const name = unit!.toLowerCase();
    return Math.round(Number(amount) * units[name === '' || name.endsWith('b') ? name : `${name}b`]!);
  })
  .describe('Bytes, or text like "16 GiB".');
