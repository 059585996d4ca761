import { z } from 'zod';

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A time: seconds, or text like "90s", "12h" or "1h 30m". Comes out in seconds. */
export const duration = z
  .union([
    z.number().positive(),
    z.string().regex(/^(?:\d+(?:\.\d+)?\s*[smhd]\s*)+$/i, 'a time reads like "12h" or "1h 30m".'),
  ])
  .transform((time) => {
    if (typeof time === 'number') return time;
    const parts = [...time.matchAll(/(\d+(?:\.\d+)?)\s*([smhd])/gi)];
    return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit!.toLowerCase()]!, 0);
  })
  .describe('Seconds, or text like "12h" or "1h 30m".');
