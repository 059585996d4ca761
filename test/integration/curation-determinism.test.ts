import { expect, it } from 'vitest';
import { RunHarness } from '../../core/testing/run-harness.js';

/** Every stage of curation that needs no model, each with randomness of its own. */
const recipe = (seed: number) => `
name: curated
seed: ${seed}
stages:
  problems: { uses: curation/generate-problems, with: { count: 1500 } }
  sides: { uses: curation/split, with: { dataset: "\${{ stages.problems.dataset }}", heldout: 0.2 } }
  sound:
    uses: curation/quality
    with: { dataset: "\${{ stages.sides.train }}", repetition: [{ words: 4, maximumShare: 0.3 }], language: {} }
  unique: { uses: curation/deduplicate, with: { dataset: "\${{ stages.sound.dataset }}" } }
  clean:
    uses: curation/decontaminate
    with: { dataset: "\${{ stages.unique.dataset }}", against: ["\${{ stages.sides.heldout }}"], words: 24 }
  diverse: { uses: curation/select, with: { dataset: "\${{ stages.clean.dataset }}", method: diverse, count: 200 } }
  ranked: { uses: curation/select, with: { dataset: "\${{ stages.clean.dataset }}", method: s1, count: 200 } }
  mixed:
    uses: curation/mix
    with:
      datasets: ["\${{ stages.diverse.dataset }}", "\${{ stages.ranked.dataset }}"]
      weights: [1, 2]
      count: 500
      whenEmpty: repeat
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.mixed.dataset }}" } }
`;

/** All outputs of a run in a home of its own, by digest. */
async function digests(seed: number, cpus: number): Promise<Readonly<Record<string, string>>> {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true, resources: { cpus } });
  const run = await harness.run(recipe(seed));
  const { outcome } = run;
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome));
  expect(await run.rows('formatted.dataset')).toHaveLength(500);
  return outcome.outputs;
}

it('the same seed and inputs give the same bytes, however many stages run at once', async () => {
  const outputs = await digests(7, 1);
  expect(Object.keys(outputs)).toEqual(
    expect.arrayContaining(['clean.decisions', 'mixed.dataset', 'formatted.dataset']),
  );
  expect(await digests(7, 8)).toEqual(outputs);
  const others = await digests(8, 2);
  for (const output of ['problems.dataset', 'mixed.dataset', 'formatted.dataset'])
    expect(others[output]).not.toEqual(outputs[output]);
});
