import { defineGrader, definePlugin, z } from 'simmerkit';

const closeEnough = defineGrader({
  description: 'Takes a number for right that is close to the right one.',
  options: z.object({
    tolerance: z.number().min(0).default(0.01).describe('Largest difference, as a share of the right number.'),
  }),
  async start({ tolerance }) {
    return {
      async grade(items) {
        return items.map(({ id, gold, answer }) => {
          const [wanted, given] = [gold, answer].map(asNumber);
          const difference = Math.abs(given - wanted);
          if (!Number.isFinite(difference)) return { id, verdict: 'unparsed', explanation: 'One is no number.' };
          const verdict = difference <= tolerance * Math.abs(wanted) ? 'right' : 'wrong';
          const explanation = `It is ${difference} away from ${wanted}.`;
          return { id, verdict, parsedAnswer: String(given), parsedGold: String(wanted), explanation };
        });
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});

export default definePlugin({
  name: 'close-enough',
  version: '1.0.0',
  apiVersion: 1,
  graders: { 'close-enough': closeEnough },
});

/** An empty text is 0 to Number. */
function asNumber(text) {
  return text.trim() === '' ? Number.NaN : Number(text);
}
