import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GradedRuns } from './graded-run.js';
import { passAt, samplingMetrics } from './sampling-metrics.js';

/** Answers of one problem, by sample; "4" is right. */
function runOf(problems: Readonly<Record<string, readonly string[]>>) {
  const runs = new GradedRuns();
  for (const [problem, answers] of Object.entries(problems)) {
    for (const [index, extracted] of answers.entries()) {
      const verdict = extracted === '4' ? 'right' : extracted === '' ? 'unparsed' : 'wrong';
      const row = {
        model: 'tuned',
        policy: 'max64',
        prompt_id: problem,
        sample_index: index,
        extracted: extracted === '' ? null : `${extracted} marbles, sample ${index}`,
        parsed: extracted === '' ? null : extracted,
        verdict,
      };
      runs.runOf(row).add(row);
    }
  }
  return runs.all()[0]!;
}

const options = { draws: 200, seed: 7 };
const values = (problems: Readonly<Record<string, readonly string[]>>) =>
  Object.fromEntries(
    samplingMetrics(runOf(problems), options).map(({ data }) => {
      const { name, value } = data as { name: string; value: number };
      return [name, value];
    }),
  );

it('measures what k samples reach', () => {
  const measured = values({ a: ['4', '5', '5', '4'], b: ['', '4', '4', ''], c: ['1', '2', '3', '3'] });
  const third = (count: number) => expect.closeTo(count / 3, 12);
  expect(measured).toEqual({
    // Two of four right: 1/2, 1/2, 0 for one draw; 1 - 1/6 for two.
    'tuned.pass@1@max64': third(1),
    'tuned.pass@2@max64': third(10 / 6),
    'tuned.pass@4@max64': third(2),
    'tuned.maj@1@max64': third(1),
    'tuned.maj@2@max64': third(2),
    // Of two answers with as many votes, the one that came first.
    'tuned.maj@4@max64': third(2),
    'tuned.cov@1@max64': third(1),
    'tuned.cov@2@max64': third(2),
    'tuned.cov@4@max64': third(2),
  });
});

it('says nothing of single samples, and of more only as many as every problem has', () => {
  expect(values({ a: ['4'], b: ['5'] })).toEqual({});
  expect(Object.keys(values({ a: ['4', '4', '4'], b: ['5', '4', '1', '2', '2'] }))).toHaveLength(9);
});

it('pass@k is the share of all draws of k samples that hold a right one', () => {
  const sizes = fc.record({
    samples: fc.integer({ min: 1, max: 9 }),
    right: fc.nat(9),
    k: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(sizes, ({ samples, right, k }) => {
      fc.pre(right <= samples && k <= samples);
      let draws = 0;
      let hits = 0;
      for (let set = 0; set < 2 ** samples; set += 1) {
        const members = Array.from({ length: samples }, (_, index) => index).filter((index) => (set >> index) & 1);
        if (members.length !== k) continue;
        draws += 1;
        if (members.some((index) => index < right)) hits += 1;
      }
      expect(passAt(k, samples, right)).toBeCloseTo(hits / draws, 10);
    }),
  );
});
