import { type Columns, defineStage, pace, type Row } from 'simmerkit';
import { generateProblemsOptions } from './options.js';

const columns: Columns = {
  id: 'VARCHAR',
  question: 'VARCHAR',
  reasoning: 'VARCHAR',
  answer: 'VARCHAR',
  domain: 'VARCHAR',
  source: 'VARCHAR',
  steps: 'BIGINT',
};

export const generateProblems = defineStage({
  description: 'Draws arithmetic story problems with worked traces, from the seed: more steps need more thinking.',
  options: generateProblemsOptions,
  inputs: {},
  outputs: { dataset: { type: 'dataset', description: 'The problems.' } },
  columns: () => ({ dataset: Object.keys(columns) }),
  estimate: ({ count }) => ({ outputs: { dataset: { rows: count } } }),
  async run(context) {
    const { generateProblems: drawProblems } = await import('./problem-generator.js');
    const { problemId } = await import('./problem-id.js');
    const { options, seed } = context;
    const steps = pace(context, { unit: 'problems', total: options.count });
    async function* rows(): AsyncIterable<Row> {
      for (const problem of drawProblems({ ...options, seed })) {
        yield { id: problemId(problem.question), ...problem, source: 'generated' };
        await steps.step();
      }
    }
    const dataset = await context.artifacts.writeDataset(rows(), { columns });
    await steps.finish();
    await context.emit({
      type: 'funnel.counted',
      data: { step: context.stage, rowsIn: dataset.rowCount, rowsOut: dataset.rowCount, dropped: {} },
    });
    return { dataset };
  },
});
