import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineStage } from '../plugin/define.js';
import type { StageContext, StageEvent } from '../plugin/definitions.js';
import { memoryTable, runStage } from './run-stage.js';

type Work = (context: StageContext<object, Record<string, never>>) => Promise<unknown>;

/** A stage with one output, which does some work before it. */
function stageThat(work: Work, outputs: (made: object) => object = (dataset) => ({ dataset })) {
  return defineStage({
    description: 'For this test.',
    options: z.object({}),
    inputs: {},
    outputs: { dataset: { type: 'dataset', description: 'One row.' } },
    async run(context) {
      await work(context);
      return outputs(await context.artifacts.writeDataset([{ id: '1' }], { columns: { id: 'VARCHAR' } })) as never;
    },
  });
}

describe('a stage that is run by itself', () => {
  it('is refused the events that a run refuses', async () => {
    const uneven = { step: 'x', rowsIn: 3, rowsOut: 1, dropped: { short: 1 } };
    const stage = stageThat(({ emit }) => emit({ type: 'funnel.counted', data: uneven }));
    await expect(runStage(stage)).rejects.toMatchObject({ code: 'invalid_stage_event' });
    const own = { type: 'my.event', data: {} } as unknown as StageEvent;
    await expect(runStage(stageThat(({ emit }) => emit(own)))).rejects.toThrow('A stage may not emit my.event.');
  });

  it('is refused the outputs that a run refuses', async () => {
    const misspelt = stageThat(
      async () => {},
      (made) => ({ datset: made }),
    );
    await expect(runStage(misspelt)).rejects.toMatchObject({ code: 'stage_output_undeclared' });
    const { rows } = await runStage(stageThat(async () => {}));
    expect(() => rows('datset')).toThrow('the stage has no table "datset"; its outputs are dataset');
  });

  it('is refused other columns than it said before', async () => {
    const saying = (columns: Record<string, readonly string[]>) =>
      runStage({ ...stageThat(async () => {}), columns: () => columns });
    const said = 'the stage says that dataset has ';
    await expect(saying({ dataset: [] })).rejects.toThrow(`${said}none, and it has id`);
    await expect(saying({ dataset: ['question', 'id'] })).rejects.toThrow(`${said}id, question, and it has id`);
    await expect(saying({ datset: ['id'] })).rejects.toThrow('the stage says that datset has id, and it has none');
    expect((await saying({ dataset: ['id'] })).rows('dataset')).toHaveLength(1);
  });

  it('is refused options and inputs that it does not have', async () => {
    const stage = { ...stageThat(async () => {}), options: z.object({ words: z.int().default(40) }) };
    await expect(runStage(stage, { options: { word: 6 } })).rejects.toThrow(
      'the stage has no option "word"; there are words',
    );
    const inputs = { datset: memoryTable({ id: 'VARCHAR' }, []) };
    await expect(runStage(stage, { inputs })).rejects.toThrow('the stage has no input "datset"; it has none');
  });

  it('is given what a recipe may give it: any option where it takes any, but none that is misspelt further in', async () => {
    const rules = z.looseObject({ least: z.object({ words: z.int().optional() }).optional() });
    const options: unknown[] = [];
    const stage = { ...stageThat(async (context) => void options.push(context.options)), options: rules };
    await runStage(stage, { options: { most: 6 } });
    expect(options).toEqual([{ most: 6 }]);
    await expect(runStage(stage, { options: { least: { word: 6 } } })).rejects.toThrow(
      'the stage has no option "least.word"; there are words',
    );
  });

  it('is refused rows that a file would not take', async () => {
    const columns = { id: 'VARCHAR', score: 'DOUBLE' };
    const scored = stageThat(({ artifacts }) => artifacts.writeDataset([{ id: '1', score: '7' }], { columns }));
    await expect(runStage(scored)).rejects.toThrow('Row 1 does not fit the table: column "score"');
    const typed = stageThat(({ artifacts }) => artifacts.writeDataset([], { columns: { id: 'string' } }));
    await expect(runStage(typed)).rejects.toMatchObject({ code: 'invalid_column_type' });
  });

  it('is refused dollars that are no number', async () => {
    const price: { readonly usd?: number } = {};
    const paid = stageThat(async ({ spending }) => {
      const reservation = await spending.reserve({ source: 'teacher', usd: 1 });
      reservation.settle({ usd: 3 * (price.usd as number) });
    });
    await expect(runStage(paid)).rejects.toThrow('What teacher did cost, `usd`, is NaN.');
    const unnamed = stageThat(({ spending }) => spending.reserve({ usd: 1 } as never));
    await expect(runStage(unnamed)).rejects.toMatchObject({ code: 'invalid_spending' });
  });
});
