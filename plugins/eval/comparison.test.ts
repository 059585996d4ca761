import { expect, it } from 'vitest';
import { compareRuns } from './comparison.js';
import { GradedRuns } from './graded-run.js';

/** Two problems under a policy; the second is right where thinking is long. */
function add(
  runs: GradedRuns,
  policy: string,
  method: string,
  maximum: number | null,
  thinking: number,
  { ignore = 0, word = '' } = {},
): void {
  for (const [problem, isRight] of [
    ['a', true],
    ['b', thinking > 100],
  ] as const) {
    const row = {
      model: 'tuned',
      policy,
      method,
      max_thinking_tokens: maximum,
      ignore_end_count: ignore,
      word,
      prompt_id: problem,
      sample_index: 0,
      verdict: isRight ? 'right' : 'wrong',
      thinking_tokens: thinking,
      answer_tokens: 4,
      interventions: [],
    };
    runs.runOf(row).add(row);
  }
}

it('measures votes by how many there are, those under each policy by themselves', async () => {
  const measured = async (policies: readonly string[]) => {
    const tuned = new GradedRuns();
    for (const [index, policy] of policies.entries())
      for (const votes of [1, 2]) add(tuned, `${policy}+maj${votes}`, 'majority', 64, 80 * votes * (index + 1));
    const options = { draws: 100, seed: 7, breathe: async () => {} };
    const { scaling } = await compareRuns({ untuned: new GradedRuns(), tuned }, options);
    return scaling.map(({ series, runs, scalingPerDoubling }) => [series, runs, scalingPerDoubling]);
  };
  expect(await measured(['64'])).toEqual([['majority', 2, 50]]);
  expect(await measured(['64', 'reject64'])).toEqual([
    ['majority@64', 2, 50],
    ['majority@reject64', 2, 0],
  ]);
});

it('measures each method by itself, and compares maxima of budget forcing alone', async () => {
  const tuned = new GradedRuns();
  add(tuned, 'max64', 'budget-forcing', 64, 64);
  add(tuned, 'max128', 'budget-forcing', 128, 128);
  add(tuned, 'reject32', 'rejection', 32, 16);
  add(tuned, 'reject256', 'rejection', 256, 256);
  add(tuned, 'tokens64', 'token-conditional', 64, 512);
  add(tuned, 'tokens64+forced', 'token-conditional+forced', 64, 64);
  const options = { draws: 100, seed: 7, breathe: async () => {} };
  const { scaling, differences } = await compareRuns({ untuned: new GradedRuns(), tuned }, options);
  expect(
    scaling.map(({ series, runs, control, scalingPerDoubling }) => [series, runs, control, scalingPerDoubling]),
  ).toEqual([
    ['maxima', 2, 1, 50],
    ['rejection', 2, 1, 12.5],
  ]);
  expect(differences.map(({ name }) => name)).toEqual(['tuned.accuracy@max128-accuracy@max64']);
});

it('measures the waits of each word by themselves', async () => {
  const seriesOf = async (words: readonly string[]) => {
    const tuned = new GradedRuns();
    add(tuned, '512', 'budget-forcing', 512, 64, { word: 'Wait' });
    for (const [index, word] of words.entries())
      add(tuned, `512+1x${word}`, 'budget-forcing', 512, 128 + index, { ignore: 1, word });
    const options = { draws: 100, seed: 7, breathe: async () => {} };
    const { scaling } = await compareRuns({ untuned: new GradedRuns(), tuned }, options);
    return scaling.map(({ series, runs, scalingPerDoubling }) => [series, runs, Math.round(scalingPerDoubling ?? 0)]);
  };
  expect(await seriesOf(['Wait'])).toEqual([['waits', 2, 50]]);
  // Between two words are no tokens to speak of, and whatever slope chance gives.
  expect(await seriesOf(['Wait', 'Hmm', ''])).toEqual([
    ['waits@none', 2, 49],
    ['waits@Hmm', 2, 49],
    ['waits@Wait', 2, 50],
  ]);
});
