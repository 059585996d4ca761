import { expect, it, vi } from 'vitest';
import type { PointDiff } from '../engine/past-runs/eval-diff.js';
import { jsonChunks } from './json-chunks.js';

const graded = (verdict: string) => ({ verdict, extracted: null, answer: 'größer 🙂 als'.repeat(9) });
const item = (promptId: string) => ({
  ...{ promptId, sample: 0, question: '"?"', gold: null },
  before: graded('right'),
  after: graded('wrong'),
});
const counts = { items: 3, onlyBefore: 0, onlyAfter: 1, rightToWrong: 2, wrongToRight: 0 };
const points: readonly PointDiff[] = [
  { model: 'tuned', policy: 'max64', ...counts, changed: [item('a'), item('b')] },
  { model: 'tuned', policy: 'max128', ...counts, changed: [] },
];

it.each([1, 7, 300, 2 ** 18])('chunks of %i bytes are together the JSON of what changed', (bytes) => {
  for (const some of [points, points.slice(1), []]) {
    const chunks = [...jsonChunks(some, bytes)];
    expect(JSON.parse(Buffer.concat(chunks).toString('utf8'))).toEqual(some);
    for (const chunk of chunks.slice(0, -1)) expect(chunk.length).toBe(bytes);
    expect(chunks.at(-1)?.length).toBeLessThanOrEqual(bytes);
  }
});

it('no more of it is made than is asked for', () => {
  const toJSON = vi.fn(() => 'b');
  const later = { ...item('b'), toJSON };
  const [first] = jsonChunks([{ ...points[0]!, changed: [item('a'), later] }], 100);
  expect(first).toHaveLength(100);
  expect(toJSON).not.toHaveBeenCalled();
});
