import { expect, test } from 'vitest';
import { inspectionOf } from './inspection.js';
import { parseRecipe } from './load-recipe.js';
import type { Plan } from './plan.js';

test('an inspection has the stages that its training needs, and none of the sinks that follow runs', () => {
  const text = `
name: mine
sinks: [{ uses: wandb/run, with: { project: mine } }]
stages:
  pool: { uses: curation/load, with: { sources: { mine: { path: mine.jsonl } } } }
  tuned: { uses: sft/train, with: { trainer: student, dataset: "\${{ stages.pool.dataset }}" } }
  graded: { uses: eval/grade, with: { dataset: "\${{ stages.pool.dataset }}" } }
`;
  const dataset = [{ stage: 'pool', output: 'dataset' }];
  const stages = [
    { name: 'pool', uses: 'curation/load', inputs: {} },
    { name: 'tuned', uses: 'sft/train', inputs: { dataset } },
    { name: 'graded', uses: 'eval/grade', inputs: { dataset } },
  ];
  const recipe = parseRecipe('recipe.yaml', text, { params: {}, overrides: {} });
  const plan = { stages } as unknown as Plan;
  const inspection = inspectionOf(recipe, plan, { stage: 'tuned', rows: [3] });
  expect(inspection.overridden.value).toEqual({
    name: 'mine',
    stages: {
      pool: { uses: 'curation/load', with: { sources: { mine: { path: 'mine.jsonl' } } } },
      tuned: {
        uses: 'sft/inspect',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference is written like that
        with: { trainer: 'student', dataset: '${{ stages.pool.dataset }}', rows: [3] },
      },
    },
  });
});
