import { expect, it } from 'vitest';
import { historyType, type TableArtifact } from '../../core/index.js';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { format } from '../../plugins/curation/format.stage.js';
import { quality } from '../../plugins/curation/quality.stage.js';
import { generations, grader } from '../../plugins/eval/grade.fixture.js';
import { grade } from '../../plugins/eval/grade.stage.js';

it('trains on the samples that were graded right, with their traces and what was said before the question', async () => {
  const history = [
    { role: 'user', content: 'Hello', weight: null },
    { role: 'assistant', content: 'Hi', weight: 0 },
  ];
  const problems = memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR', history: historyType },
    [0, 1, 2].map((number) => ({ id: `p${number}`, question: `Which? ${number}`, answer: `${number}`, history })),
  );
  const answers = ['Answer: 0', 'Answer: 1', 'Answer: 7'];
  const graded = await runStage(grade, {
    inputs: {
      generations: generations('m', [{ policy: '8', maximum: 8, tokens: 4, answers, cut: 1 }]),
      dataset: problems,
    },
    grader,
  });
  const drop = [
    { rule: 'not_right', column: 'verdict', pattern: '^(?!right$)' },
    { rule: 'cut', column: 'finish_reason', pattern: '^(?!stop)' },
  ];
  const right = await runStage(quality, {
    options: { preset: 'none', drop },
    inputs: { dataset: graded.outputs.graded as TableArtifact },
  });
  const formatted = await runStage(format, { inputs: { dataset: right.outputs.dataset as TableArtifact } });
  expect(right.rows('decisions').map(({ rule }) => rule)).toEqual(['cut', null, 'not_right']);
  expect(formatted.rows('dataset')).toEqual([
    {
      id: 'p1/8/0',
      prompt: [
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Hi' },
        { role: 'user', content: 'Which? 1' },
      ],
      completion: '<|im_start|>think\nhm\n<|im_start|>answer\nAnswer: 1<|im_end|>',
    },
  ]);
});
