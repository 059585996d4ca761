import { expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { vote } from './vote.stage.js';

const columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  method: 'VARCHAR',
  sample_index: 'INTEGER',
  max_thinking_tokens: 'INTEGER',
  thinking_tokens: 'INTEGER',
  answer_tokens: 'INTEGER',
  extracted: 'VARCHAR',
  verdict: 'VARCHAR',
  explanation: 'VARCHAR',
};

/** Samples of a problem whose gold answer is 7: [extracted, thinking tokens]. */
function graded(samples: Readonly<Record<string, readonly (readonly [string | null, number])[]>>) {
  const rows = Object.entries(samples).flatMap(([problem, list]) =>
    list.map(([extracted, tokens], index) => ({
      id: `${problem}/64/${index}`,
      prompt_id: problem,
      model: 'm',
      policy: '64',
      method: 'budget-forcing',
      sample_index: index,
      max_thinking_tokens: 64,
      thinking_tokens: tokens,
      answer_tokens: 2,
      extracted,
      verdict: extracted === null ? 'unparsed' : Number(extracted) === 7 ? 'right' : 'wrong',
      explanation: 'because',
    })),
  );
  // Rows may come in any order.
  return memoryTable(columns, rows.reverse());
}

const voted = async (samples: Parameters<typeof graded>[0], options: Readonly<Record<string, unknown>> = {}) =>
  (await runStage(vote, { options, inputs: { graded: graded(samples) } })).rows('voted');

it('takes what most samples gave, equal numbers being equal, and sums what they spent and were allowed', async () => {
  const [row] = await voted({
    p: [
      ['8', 10],
      ['7', 20],
      ['9', 30],
      ['7.0', 40],
    ],
  });
  expect(row).toMatchObject({
    policy: '64+maj4',
    method: 'majority',
    verdict: 'right',
    thinking_tokens: 100,
    max_thinking_tokens: 256,
    answer_tokens: 8,
    id: 'p/64+maj4/0',
  });
  expect(row?.explanation).toContain('Sample 1 of 4.');
});

it('breaks a tie by the sample that came first, and gives what was not parsed no vote', async () => {
  expect(
    (
      await voted({
        p: [
          ['8', 1],
          ['7', 1],
        ],
      })
    )[0],
  ).toMatchObject({ verdict: 'wrong', extracted: '8' });
  expect(
    (
      await voted({
        p: [
          [null, 1],
          [null, 1],
          ['7', 1],
        ],
      })
    )[0],
  ).toMatchObject({ verdict: 'right' });
  expect(
    (
      await voted({
        p: [
          [null, 1],
          [null, 1],
        ],
      })
    )[0],
  ).toMatchObject({ verdict: 'unparsed', extracted: null });
});

it('counts answers as the grader read them, so that no unit parts votes', async () => {
  const answers = [
    ['8', '8'],
    ['7 marbles', '7'],
    ['It is 7.', '7'],
  ];
  const rows = answers.map(([extracted, parsed], index) => ({
    prompt_id: 'p',
    model: 'm',
    policy: '64',
    sample_index: index,
    extracted,
    parsed,
    verdict: parsed === '7' ? 'right' : 'wrong',
  }));
  const inputs = { graded: memoryTable({ ...columns, parsed: 'VARCHAR' }, rows) };
  const [row] = (await runStage(vote, { options: {}, inputs })).rows('voted');
  expect(row).toMatchObject({ policy: '64+maj3', extracted: '7 marbles', verdict: 'right' });
});

it('lets the first samples vote at each size, and takes the best of them', async () => {
  const samples = {
    p: [
      ['8', 30],
      ['7', 20],
      ['7', 10],
    ],
  } as const;
  const rows = await voted(samples, { sizes: [3, 1], bestOf: ['shortest', 'longest', 'oracle'] });
  expect(rows.map((row) => [row.policy, row.verdict])).toEqual([
    ['64+maj1', 'wrong'],
    ['64+shortest1', 'wrong'],
    ['64+longest1', 'wrong'],
    ['64+oracle1', 'wrong'],
    ['64+maj3', 'right'],
    ['64+shortest3', 'right'],
    ['64+longest3', 'wrong'],
    ['64+oracle3', 'right'],
  ]);
});

it('refuses to let more vote than there are', async () => {
  await expect(voted({ p: [['7', 1]] }, { sizes: [4] })).rejects.toMatchObject({ code: 'too_few_samples' });
});

it('measures the accuracy of a vote with its interval, as that of any policy', async () => {
  const samples = {
    p: [
      ['8', 10],
      ['7', 20],
      ['7', 30],
    ],
    q: [
      ['8', 10],
      ['8', 20],
      ['7', 30],
    ],
  } as const;
  const { events } = await runStage(vote, { options: { sizes: [1, 3] }, inputs: { graded: graded(samples) } });
  const accuracies = events.flatMap(({ type, data }) =>
    type === 'metric.measured' && data.name.includes('accuracy') ? [data] : [],
  );
  const labels = { model: 'm', method: 'majority', ignore: 0, word: '' };
  expect(accuracies).toEqual([
    {
      ...{ name: 'm.accuracy@64+maj1', value: 0, unit: 'share', count: 2 },
      interval: [0, expect.closeTo(0.6576, 3)],
      labels: { ...labels, policy: '64+maj1', maxThinkingTokens: 64 },
    },
    {
      ...{ name: 'm.accuracy@64+maj3', value: 0.5, unit: 'share', count: 2 },
      interval: [0, 1],
      labels: { ...labels, policy: '64+maj3', maxThinkingTokens: 192 },
    },
  ]);
});
