import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { historyLines } from '../../cli/commands/explain.js';
import { colorsFor } from '../../cli/terminal.js';
import { definePlugin, defineStage, input } from '../../plugin/define.js';
import { type HarnessRun, RunHarness } from '../../testing/run-harness.js';
import { explainRow } from './explain-row.js';

const columns = { id: 'VARCHAR', question: 'VARCHAR', source: 'VARCHAR' };
const decisionColumns = { id: 'VARCHAR', kept: 'BOOLEAN', rule: 'VARCHAR', evidence: 'VARCHAR' };
const gradedColumns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  sample_index: 'INTEGER',
  extracted: 'VARCHAR',
  verdict: 'VARCHAR',
};
const dataset = { type: 'dataset', description: '' } as const;
const rows = ['aaaa1111', 'aaaa2222', 'bbbb3333', 'cccc4444', 'cccc4444'].map((id, index) => ({
  id,
  // Questions of the web hold white space of every kind.
  question: index === 2 ? 'What\u00a0 is\n2?' : `What is ${index}?`,
  source: 'pool',
}));

/** Stages as third parties may write them: nothing of curation's is in it. */
const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    pool: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { dataset },
      run: async ({ artifacts }) => ({ dataset: await artifacts.writeDataset(rows, { columns }) }),
    }),
    sieve: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: { dataset: input('dataset', '') },
      outputs: { dataset, decisions: dataset },
      run: async ({ artifacts }) => {
        const decisions = [
          { id: 'aaaa1111', kept: true, rule: 'drawn', evidence: 'draw 1' },
          { id: 'aaaa2222', kept: false, rule: 'in_evaluation', evidence: 'e1: what is\n1' },
          { id: 'bbbb3333', kept: true },
          { id: 'cccc4444', kept: true },
          { id: 'cccc4444', kept: false, rule: 'duplicate', evidence: 'same as cccc4444' },
        ];
        return {
          dataset: await artifacts.writeDataset([rows[0]!, rows[2]!, rows[3]!], { columns }),
          decisions: await artifacts.writeDataset(decisions, { columns: decisionColumns }),
        };
      },
    }),
    owned: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { dataset },
      run: async ({ artifacts }) => {
        const owned = [
          { id: 'aaaa1111', question: 'Why?', key: 'q-1', number: 5, marks: [5] },
          { id: 'aaaa2222', question: 'What is 17?', key: 'q-2', number: 17, marks: [17] },
          { id: 'bbbb3333', question: 'Is q-1 before 17?', key: 'q-2', number: 6, marks: [6] },
          { id: 'dddd4444', question: 'Which way? '.repeat(20), key: 'q-3', number: 7, marks: [7] },
          { id: 'eeee5555', question: 'On which way?', key: 'q-4', number: 8, marks: [8] },
        ];
        const ownColumns = { id: 'VARCHAR', question: 'VARCHAR', key: 'VARCHAR', number: 'BIGINT', marks: 'INTEGER[]' };
        return { dataset: await artifacts.writeDataset(owned, { columns: ownColumns }) };
      },
    }),
    files: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { dataset, decisions: dataset },
      run: async ({ artifacts }) => {
        const decision = { id: 'aaaa1111', kept: false, rule: 'no_answer', evidence: 'a.jsonl:7' };
        return {
          dataset: await artifacts.writeDataset([rows[0]!], { columns }),
          decisions: await artifacts.writeDataset([decision], { columns: decisionColumns }),
        };
      },
    }),
    graded: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: { dataset: input('dataset', '') },
      outputs: { graded: dataset },
      run: async ({ artifacts }) => {
        const attempt = { prompt_id: 'aaaa1111', model: 'small', policy: 'none' };
        const graded = [
          { ...attempt, id: 'aaaa1111/none/0', sample_index: 0, extracted: '0', verdict: 'right' },
          { ...attempt, id: 'aaaa1111/none/1', sample_index: 1, extracted: null, verdict: 'unparsed' },
        ];
        return { graded: await artifacts.writeDataset(graded, { columns: gradedColumns }) };
      },
    }),
    half: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: { dataset: input('dataset', '') },
      outputs: { train: dataset, heldout: dataset },
      run: async ({ artifacts }) => ({
        train: await artifacts.writeDataset([rows[0]!], { columns }),
        heldout: await artifacts.writeDataset([], { columns }),
      }),
    }),
  },
});

const recipe = `
name: explained
stages:
  pool: { uses: test/pool }
  clean: { uses: test/sieve, with: { dataset: "\${{ stages.pool.dataset }}" } }
  answers: { uses: test/graded, with: { dataset: "\${{ stages.clean.dataset }}" } }
  sides: { uses: test/half, with: { dataset: "\${{ stages.clean.dataset }}" } }
`;

let harness: RunHarness;
let run: HarnessRun;
let store: ArtifactStore;
beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
  run = await harness.run(recipe);
  store = await ArtifactStore.open(harness.home);
});
afterAll(() => harness[Symbol.asyncDispose]());

const explained = async (id: string) => explainRow(run, id, store);
const printed = async (id: string) => historyLines(await explained(id), colorsFor(process.stdout, { NO_COLOR: '1' }));

describe('explainRow', () => {
  it('follows a row that was chosen, with what models answered', async () => {
    const history = await explained('aaaa1111');
    expect(history).toMatchObject({ id: 'aaaa1111', question: 'What is 0?', source: 'pool', stagesLeft: [] });
    expect(history.steps.map(({ stage, outcome, outputs }) => [stage, outcome, outputs])).toEqual([
      ['pool', 'seen', ['dataset']],
      ['clean', 'kept', ['dataset']],
      ['answers', 'graded', []],
      ['sides', 'seen', ['train']],
    ]);
    expect(await printed('aaaa1111')).toEqual([
      'aaaa1111 from pool',
      '  What is 0?',
      '',
      '  pool     test/pool    there   in dataset',
      '  clean    test/sieve   kept    drawn: draw 1',
      '  answers  test/graded  graded  small: right in 1 of 2: 0 (right), no answer (unparsed)',
      '  sides    test/half    there   in train',
      '',
      'Chosen by clean, drawn: draw 1.',
    ]);
  });

  it('says which rule dropped a row, on what evidence', async () => {
    expect((await printed('aaaa2222')).slice(3)).toEqual([
      '  pool   test/pool   there    in dataset',
      '  clean  test/sieve  dropped  in_evaluation: e1: what is 1',
      '',
      'Dropped by clean, in_evaluation: e1: what is 1.',
    ]);
  });

  it('does not take a row for dropped that only a side branch left out', async () => {
    const step = { uses: 'test/sieve', attempts: [], outputs: [] };
    const steps = [
      {
        ...step,
        stage: 'sample',
        outcome: 'dropped',
        decisions: [{ kept: false, rule: 'not_selected', evidence: null }],
      },
      { ...step, stage: 'chosen', outcome: 'kept', decisions: [{ kept: true, rule: 's1', evidence: 'draw 7' }] },
    ] as const;
    const history = { runId: 'r', id: 'x', question: null, source: null, steps, stagesLeft: ['tuned'] };
    expect(historyLines(history, colorsFor(process.stdout, { NO_COLOR: '1' })).slice(-2)).toEqual([
      'Chosen by chosen, s1: draw 7.',
      'Not done yet: tuned.',
    ]);
  });

  it('says that a stage without decisions left a row out', async () => {
    const { steps } = await explained('bbbb3333');
    expect(steps.at(-1)).toMatchObject({ stage: 'sides', outcome: 'leftOut' });
  });

  it('shows both decisions about a question that came twice, each with its row', async () => {
    const { steps } = await explained('cccc4444');
    expect(steps[1]).toEqual({
      stage: 'clean',
      uses: 'test/sieve',
      outcome: 'kept',
      decisions: [
        { kept: true, rule: null, evidence: null, row: 4 },
        { kept: false, rule: 'duplicate', evidence: 'same as cccc4444', row: 5 },
      ],
      attempts: [],
      outputs: ['dataset'],
    });
    expect(steps[0]?.rows).toEqual({ dataset: [4, 5] });
    expect((await printed('cccc4444')).slice(3, 6)).toEqual([
      '  pool   test/pool   there     in dataset (rows 4, 5)',
      '  clean  test/sieve  kept      row 4: no rule spoke against it',
      '                     dropped   row 5: duplicate: same as cccc4444',
    ]);
  });

  it('says that a row is there beside one with its id that was dropped as it was read', async () => {
    const read = await harness.run('{ name: read, stages: { pool: { uses: test/files } } }');
    const history = await explainRow(read, 'aaaa1111', store);
    expect(history.steps).toMatchObject([{ outcome: 'kept', outputs: ['dataset'], decisions: [{ kept: false }] }]);
    expect(historyLines(history, colorsFor(process.stdout, { NO_COLOR: '1' })).slice(3)).toEqual([
      '  pool  test/files  there    in dataset',
      '                    dropped  no_answer: a.jsonl:7',
      '',
      'No stage dropped all rows with this id; it was last seen in pool.',
    ]);
  });

  it('takes the beginning of an id that no other shares', async () => {
    expect((await explained('bbbb')).id).toBe('bbbb3333');
    await expect(explained('aaaa')).rejects.toMatchObject({
      code: 'row_ambiguous',
      hint: 'Type more of it: aaaa1111, aaaa2222.',
    });
  });

  it('names the nearest id of one that is unknown, and says how to find ids', async () => {
    await expect(explained('aaaa2223')).rejects.toMatchObject({
      code: 'row_not_found',
      message: 'No row of the run has the id "aaaa2223"; it has 4 ids.',
      hint: expect.stringContaining('Did you mean aaaa2222? '),
    });
    const hint = expect.stringMatching(
      /^Words of its question .* id of your own .* `simmer artifacts \S+` lists them .*, and `simmer rows \S+ STAGE\.OUTPUT` shows/,
    );
    await expect(explained('mydata.csv:8')).rejects.toMatchObject({ code: 'row_not_found', hint });
    await expect(explained("x' OR 1=1 --")).rejects.toMatchObject({ code: 'row_not_found' });
  });

  it('tells of the row that alone has a text in its question, though the question stands in several tables', async () => {
    expect(await explained('IS 4?')).toMatchObject({ id: 'cccc4444' });
    expect(await explained('What  is\n4?')).toMatchObject({ id: 'cccc4444' });
  });

  it('takes an id of the author, which another column has, and lists the rows where several have it', async () => {
    const own = await harness.run('{ name: own, stages: { pool: { uses: test/owned } } }');
    const idOf = async (key: string) => (await explainRow(own, key, store)).id;
    // What has it as it is comes before what has it in its question.
    expect([await idOf('q-1'), await idOf('17')]).toEqual(['aaaa1111', 'aaaa2222']);
    // Lists, such as the turns of a conversation, are no ids, and long.
    await expect(idOf('[5]')).rejects.toMatchObject({ code: 'row_not_found' });
    await expect(idOf('q-2')).rejects.toMatchObject({
      code: 'row_not_found',
      hint: 'It stands in these rows; give the id of one:\n  aaaa2222  column key\n  bbbb3333  column key',
    });
  });

  it('says of a question that it lists that it goes on', async () => {
    const own = await harness.run('{ name: own, stages: { pool: { uses: test/owned } } }');
    await expect(explainRow(own, 'which way', store)).rejects.toMatchObject({
      hint: expect.stringMatching(/\n {2}dddd4444 {2}(Which way\? ){7}Wh…\n {2}eeee5555 {2}On which way\?$/),
    });
  });

  it('lists rows that have a text in their question, a question once', async () => {
    await expect(explained('What is')).rejects.toMatchObject({
      code: 'row_not_found',
      hint: expect.stringContaining('\n  aaaa1111  What is 0?\n  aaaa2222  What is 1?\n  bbbb3333  What is 2?'),
    });
    await expect(explained("What' OR 1=1 --")).rejects.toMatchObject({ hint: expect.stringMatching(/^Words/) });
  });
});
