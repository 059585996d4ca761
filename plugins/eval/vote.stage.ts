import { defineStage, input, numberIn, type Row, textIn, UserError, z } from 'simmerkit';
import { majorityOf } from './majority.js';
import { draws } from './options.js';

const voteOptions = z.strictObject({
  sizes: z
    .array(z.int().min(1))
    .min(1)
    .optional()
    .describe('How many samples vote, e.g. [1, 2, 4, 8]: the first so many. Default: all that there are.'),
  majority: z.boolean().default(true).describe('Whether to make the answer that most samples gave.'),
  bestOf: z
    .array(z.enum(['shortest', 'longest', 'oracle']))
    .default([])
    .describe(
      'Which one of k samples to take: of the shortest or longest thinking, or a right one where there is one (oracle: ' +
        'what a perfect verifier would reach).',
    ),
  draws,
});

export const vote = defineStage({
  description: 'Makes one answer of several samples: by majority, or the best of k.',
  options: voteOptions,
  inputs: { graded: input('dataset', 'Graded answers with several samples for each problem, from eval/grade.') },
  outputs: { voted: { type: 'dataset', description: 'Graded answers, one for each problem, policy, way and size.' } },
  check: ({ majority, bestOf }) =>
    majority || bestOf.length > 0
      ? []
      : [{ path: 'bestOf', code: 'nothing_to_make', message: 'Neither a majority nor a best of k is asked for.' }],
  reads: () => ({ graded: ['id', 'prompt_id', 'policy', 'sample_index', 'verdict', 'extracted'] }),
  columns: (_, columnsOf) => ({ voted: columnsOf('graded') }),
  async run(context) {
    const { GradedRuns } = await import('./graded-run.js');
    const { measureRun } = await import('./run-metrics.js');
    const { options, inputs } = context;
    const groups = new Map<string, Row[]>();
    for await (const row of inputs.graded.rows()) {
      const key = JSON.stringify([textIn(row, 'model'), textIn(row, 'policy'), textIn(row, 'prompt_id')]);
      const group = groups.get(key) ?? [];
      group.push(row);
      groups.set(key, group);
    }
    const most = Math.max(0, ...[...groups.values()].map((group) => group.length));
    const sizes = [...new Set(options.sizes ?? [most])].sort((one, other) => one - other);

    function* votes(): Iterable<Row> {
      for (const group of groups.values()) {
        group.sort((one, other) => (numberIn(one, 'sample_index') ?? 0) - (numberIn(other, 'sample_index') ?? 0));
        for (const size of sizes) {
          if (group.length < size) throw tooFew(group, size);
          const samples = group.slice(0, size);
          if (options.majority) yield votedRow(majorityOf(samples), samples, `maj${size}`, 'majority');
          for (const way of options.bestOf)
            yield votedRow(bestOf(samples, way), samples, `${way}${size}`, `best-of-${way}`);
        }
      }
    }
    const runs = new GradedRuns();
    function* rows(): Iterable<Row> {
      for (const row of votes()) {
        runs.runOf(row).add(row);
        yield row;
      }
    }
    const voted = await context.artifacts.writeDataset(rows(), {
      columns: inputs.graded.columns,
      metadata: { sizes, majority: options.majority, bestOf: options.bestOf },
    });
    for (const run of runs.all())
      for (const metric of measureRun(run, { draws: options.draws, seed: context.seed })) await context.emit(metric);
    return { voted };
  },
});

function bestOf(samples: readonly Row[], way: 'shortest' | 'longest' | 'oracle'): Row {
  if (way === 'oracle') return samples.find((row) => textIn(row, 'verdict') === 'right') ?? (samples[0] as Row);
  const sign = way === 'shortest' ? 1 : -1;
  const tokens = (row: Row) => sign * (numberIn(row, 'thinking_tokens') ?? 0);
  return samples.reduce((best, row) => (tokens(row) < tokens(best) ? row : best));
}

/** What was spent is what all samples spent, of what all were allowed. */
function votedRow(chosen: Row, samples: readonly Row[], suffix: string, method: string): Row {
  const sum = (column: string) => samples.reduce((total, row) => total + (numberIn(row, column) ?? 0), 0);
  const maximum = numberIn(chosen, 'max_thinking_tokens');
  const policy = `${textIn(chosen, 'policy')}+${suffix}`;
  return {
    ...chosen,
    id: `${textIn(chosen, 'prompt_id')}/${policy}/0`,
    policy,
    method,
    sample_index: 0,
    ...(maximum === null ? {} : { max_thinking_tokens: maximum * samples.length }),
    thinking_tokens: sum('thinking_tokens'),
    answer_tokens: sum('answer_tokens'),
    explanation: `Sample ${numberIn(chosen, 'sample_index')} of ${samples.length}. ${textIn(chosen, 'explanation') ?? ''}`,
  };
}

function tooFew(group: readonly Row[], size: number): UserError {
  const [first] = group as [Row, ...Row[]];
  return new UserError(
    'too_few_samples',
    `Problem ${textIn(first, 'prompt_id')} has ${group.length} samples under ${textIn(first, 'policy')}, and ${size} shall vote.`,
    { kind: 'runFailed', hint: 'Raise sampling.samples of the generations, or lower `sizes`.' },
  );
}
