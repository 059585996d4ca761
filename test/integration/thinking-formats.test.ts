import { memoryArtifact, memoryTable, runStage } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { generate } from '../../plugins/budget-forcing/generate.stage.js';
import { distill } from '../../plugins/curation/distill.stage.js';
import { format } from '../../plugins/curation/format.stage.js';
import { scriptedTrainer } from '../../plugins/curation/scripted-trainer.fixture.js';

const row = { id: 'a', question: 'What is 2 + 3?', reasoning: 'I add.', answer: 'Answer: 5' };
const columns = { id: 'VARCHAR', question: 'VARCHAR', reasoning: 'VARCHAR', answer: 'VARCHAR' } as const;
const dataset = memoryTable(columns, [row]);

it.each(['s1', 'r1'] as const)(
  'asks a model for its thinking in the text that curation/format trained it on: %s',
  async (preset) => {
    const formatted = await runStage(format, { options: { preset, end: '' }, inputs: { dataset } });
    const trainer = scriptedTrainer(() => ({ answer: 'Answer: 5', thinking: 'I add.', thinkingEnd: 'natural' }));
    const model = memoryArtifact('model', '/model');
    await runStage(distill, {
      options: { trainer: 'student', thinkingFormat: preset },
      inputs: { dataset, teacher: model },
      trainer,
    });
    const options = { trainer: 'student', thinkingFormat: preset, sweep: { thinkingTokens: [8] } };
    await runStage(generate, { options, inputs: { dataset, model }, trainer });
    expect(trainer.requests).toHaveLength(2);
    for (const { thinkingFormat } of trainer.requests) {
      const { start, end } = thinkingFormat ?? { start: '', end: '' };
      expect(formatted.rows('dataset')[0]?.completion).toBe(`${start}I add.\n${end}Answer: 5`);
    }
  },
);
