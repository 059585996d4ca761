// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are written like that
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';

const answers = (name: string, label: string | undefined) => `
  ${name}:
    uses: budget-forcing/generate
    with: { trainer: student, model: "\${{ stages.base.model }}", dataset: "\${{ stages.problems.dataset }}"${label === undefined ? '' : `, label: ${label}`} }
  ${name}-graded:
    uses: eval/grade
    with: { generations: "\${{ stages.${name}.generations }}", dataset: "\${{ stages.problems.dataset }}" }
  ${name}-voted:
    uses: eval/vote
    with: { graded: "\${{ stages.${name}-graded.graded }}" }`;

const recipe = (before: string | undefined, after: string | undefined, untuned: string) => `
name: compared
trainers: { student: { uses: torch-trainer/torch } }
stages:
  base: { uses: torch-trainer/base-model, with: { source: "hf://owner/name@${'0'.repeat(40)}" } }
  problems: { uses: curation/generate-problems, with: { count: 4 } }
${answers('before', before)}${answers('after', after)}
  comparison:
    uses: eval/compare
    with: { untuned: ${untuned}, tuned: ["\${{ stages.after-graded.graded }}"] }
`;
const graded = '["${{ stages.before-graded.graded }}"]';
const voted = '["${{ stages.before-voted.voted }}"]';
const ofBoth = '["${{ stages.before-graded.graded }}", "${{ stages.after-voted.voted }}"]';

it.each([
  ['the same', 'student', 'student', graded, 'tuned'],
  ['the default twice', undefined, undefined, voted, 'tuned'],
  ['two on the side of one', 'one', 'other', ofBoth, 'untuned'],
])('names of compared models are refused before anything runs: %s', async (_, before, after, untuned, input) => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  await expect(harness.plan(recipe(before, after, untuned))).rejects.toMatchObject({
    problems: [{ code: 'label_not_unique', path: `stages.comparison.with.${input}` }],
  });
});

it('names of compared models that differ are planned', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const plan = await harness.plan(recipe('one', 'other', graded));
  expect(plan.stages.at(-1)?.name).toBe('comparison');
});
