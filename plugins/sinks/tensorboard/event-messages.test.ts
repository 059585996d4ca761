import { expect, it } from 'vitest';
import { decodeSummary, encodeFileVersion, encodeSummary, type Summary } from './event-messages.js';

const time = 1_700_000_000_500;

it("writes a text as TensorBoard's own messages do", () => {
  const message = encodeSummary({ time, step: 5, values: [{ tag: 'recipe', text: 'hi' }] });
  // By the messages of tensorboard 2.21.
  expect(Buffer.from(message).toString('hex')).toBe(
    '0900002040fc54d94110052a220a200a06726563697065420c0807120412020801420268694a080a060a0474657874',
  );
});

it('reads what it wrote: figures as floats, texts as being there', () => {
  const figures = [1.5, 0, -3e-5, Number.NaN, 1e300].map((value, index) => ({ tag: `a/${index}`, value }));
  const summary: Summary = { time, step: 2 ** 40, values: [...figures, { tag: 'recipe', text: 'name: a' }] };
  expect(decodeSummary(encodeSummary(summary))).toEqual({
    time,
    step: 2 ** 40,
    values: [
      { tag: 'a/0', value: 1.5 },
      { tag: 'a/1', value: 0 },
      { tag: 'a/2', value: Math.fround(-3e-5) },
      { tag: 'a/3', value: Number.NaN },
      { tag: 'a/4', value: Number.POSITIVE_INFINITY },
      { tag: 'recipe', text: '' },
    ],
  });
  expect(decodeSummary(encodeFileVersion(time))).toBeUndefined();
});
