import {
  type Columns,
  defineStage,
  input,
  type Prompt,
  type Row,
  requireColumns,
  type Sample,
  type TableArtifact,
  type ThinkingFormat,
  type ThinkingPolicy,
  textIn,
  UserError,
} from 'simmerkit';
import { type GenerateOptions, generateOptions, thinkingFormats } from './options.js';
import type { SampleJournal } from './sample-journal.js';

const generationColumns: Columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  question: 'VARCHAR',
  gold: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  method: 'VARCHAR',
  sample_index: 'INTEGER',
  max_thinking_tokens: 'INTEGER',
  min_thinking_tokens: 'INTEGER',
  ignore_end_count: 'INTEGER',
  word: 'VARCHAR',
  spending_rule: 'VARCHAR',
  prompt_tokens: 'INTEGER',
  thinking: 'VARCHAR',
  answer: 'VARCHAR',
  thinking_tokens: 'INTEGER',
  answer_tokens: 'INTEGER',
  thinking_end: 'VARCHAR',
  finish_reason: 'VARCHAR',
  interventions:
    'STRUCT(kind VARCHAR, position INTEGER, "text" VARCHAR, token_ids INTEGER[], character_offset INTEGER)[]',
  thinking_token_ids: 'INTEGER[]',
  answer_token_ids: 'INTEGER[]',
  shared_thinking_tokens: 'INTEGER',
  seed: 'VARCHAR',
};

/** Without a thinking format there is one policy, and it forces nothing. */
const withoutThinking: ThinkingPolicy = { id: 'none', ignoreEndCount: 0, word: '', spendingRule: 'total' };
const betweenProgress = 500;

export const generate = defineStage({
  description: 'Has a model answer problems under thinking budgets: maxima, and waits in place of the end of thinking.',
  options: generateOptions,
  inputs: {
    model: input('model', 'The model that answers.'),
    dataset: input('dataset', 'Problems: `id`, `question`, and the gold answer where there is one.'),
  },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: ({ sampling }) =>
    sampling.samples > 1 && sampling.temperature === 0
      ? [
          {
            path: 'sampling.samples',
            code: 'equal_samples',
            message: `${sampling.samples} samples at temperature 0 would all be the same.`,
            hint: 'Set sampling.temperature above 0, or samples to 1.',
          },
        ]
      : [],
  async run(context) {
    const { expandSweep } = await import('./policies.js');
    const { SampleJournal } = await import('./sample-journal.js');
    const { options, inputs } = context;
    const format = thinkingFormatOf(options);
    const policies = format === undefined ? [withoutThinking] : expandSweep(options);
    const problems = await readProblems(inputs.dataset, options);
    await using journal = await SampleJournal.open(context.scratchFolder);
    const plan = { problems, policies, samples: options.sampling.samples };
    const missing = problems.filter((problem) => !isComplete(problem, plan, journal));
    const total = problems.length * policies.length * plan.samples;
    if (journal.size > 0) context.log.info(`${journal.size} of ${total} samples are kept from an earlier attempt.`);

    if (missing.length > 0) {
      const { maxBatchSize, precision, sampling } = options;
      const trainer = await context.trainer(options.trainer);
      const events = trainer.generate({
        model: { kind: 'folder', folder: inputs.model.folder },
        prompts: missing.map((problem) => promptOf(problem, options)),
        sampling: { ...withoutUndefined(sampling), seed: context.seed },
        ...(format === undefined ? {} : { thinkingFormat: format }),
        policies,
        ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
        ...(precision === undefined ? {} : { precision }),
      });
      const figures = { tokensPerSecond: 0, thinkingTokens: 0, samples: journal.size };
      let toldAt = 0;
      for await (const event of events) {
        context.signal.throwIfAborted();
        if (event.kind === 'progress') {
          figures.tokensPerSecond = event.tokensPerSecond;
        } else {
          const sample = format === undefined ? { ...event.sample, policyId: withoutThinking.id } : event.sample;
          await journal.add(sample);
          figures.thinkingTokens += sample.thinkingTokenIds.length;
          figures.samples = journal.size;
        }
        const now = performance.now();
        if (now - toldAt < betweenProgress && figures.samples < total) continue;
        toldAt = now;
        const data = { done: figures.samples, total, unit: 'samples', figures: { ...figures } };
        await context.emit({ type: 'stage.progressed', data });
      }
      await journal.sync();
    }
    const generations = await context.artifacts.writeGenerations(rowsOf(plan, journal, options), {
      columns: generationColumns,
      metadata: {
        label: options.label,
        model: inputs.model.uri,
        dataset: inputs.dataset.uri,
        policies,
        thinkingFormat: format ?? null,
      },
    });
    return { generations };
  },
});

interface Problem {
  readonly id: string;
  readonly question: string;
  readonly gold: string | null;
}

interface Sweep {
  readonly problems: readonly Problem[];
  readonly policies: readonly ThinkingPolicy[];
  readonly samples: number;
}

function thinkingFormatOf({ thinkingFormat }: GenerateOptions): ThinkingFormat | undefined {
  if (thinkingFormat === 'none') return undefined;
  return typeof thinkingFormat === 'string' ? thinkingFormats[thinkingFormat] : thinkingFormat;
}

async function readProblems(dataset: TableArtifact, options: GenerateOptions): Promise<Problem[]> {
  requireColumns(dataset, ['id', 'question'], 'The dataset');
  const problems = new Map<string, Problem>();
  for await (const row of dataset.rows()) {
    const id = textIn(row, 'id') ?? '';
    const question = textIn(row, 'question');
    if (id === '' || question === null || problems.has(id)) {
      const what = problems.has(id) ? `has id ${id} twice` : `has a row without ${id === '' ? 'an id' : 'a question'}`;
      throw new UserError('invalid_problem', `The dataset ${what}.`, {
        kind: 'runFailed',
        hint: 'Put curation/load and curation/deduplicate before this stage.',
      });
    }
    const gold = options.goldColumn in dataset.columns ? textIn(row, options.goldColumn) : null;
    problems.set(id, { id, question, gold });
  }
  return [...problems.values()];
}

function promptOf({ id, question }: Problem, options: GenerateOptions): Prompt {
  // Split and joined, not replaced: a question may hold "$&".
  const content = options.promptTemplate.split('{question}').join(question);
  const system = options.systemMessage === undefined ? [] : [{ role: 'system', content: options.systemMessage }];
  return { id, prompt: { kind: 'messages', messages: [...system, { role: 'user', content }] } };
}

function isComplete(problem: Problem, { policies, samples }: Sweep, journal: SampleJournal): boolean {
  return policies.every((policy) =>
    Array.from({ length: samples }, (_, index) => index).every((index) => journal.has(problem.id, policy.id, index)),
  );
}

async function* rowsOf(
  { problems, policies, samples }: Sweep,
  journal: SampleJournal,
  options: GenerateOptions,
): AsyncIterable<Row> {
  for (const problem of problems) {
    for (const policy of policies) {
      for (let index = 0; index < samples; index++) {
        yield rowOf(problem, policy, await journal.read(problem.id, policy.id, index), options);
      }
    }
  }
}

function rowOf(problem: Problem, policy: ThinkingPolicy, sample: Sample, options: GenerateOptions): Row {
  return {
    id: `${problem.id}/${policy.id}/${sample.sampleIndex}`,
    prompt_id: problem.id,
    question: problem.question,
    gold: problem.gold,
    model: options.label,
    policy: policy.id,
    method: policy === withoutThinking ? 'none' : 'budget-forcing',
    sample_index: sample.sampleIndex,
    max_thinking_tokens: policy.maxThinkingTokens ?? null,
    min_thinking_tokens: policy.minThinkingTokens ?? null,
    ignore_end_count: policy.ignoreEndCount,
    word: policy.word,
    spending_rule: policy.spendingRule,
    prompt_tokens: sample.promptTokens,
    thinking: sample.thinking,
    answer: sample.answer,
    thinking_tokens: sample.thinkingTokenIds.length,
    answer_tokens: sample.answerTokenIds.length,
    thinking_end: sample.thinkingEnd,
    finish_reason: sample.finishReason,
    interventions: sample.interventions.map(({ kind, position, text, tokenIds, characterOffset }) => ({
      kind,
      position,
      text,
      token_ids: tokenIds,
      character_offset: characterOffset,
    })),
    thinking_token_ids: sample.thinkingTokenIds,
    answer_token_ids: sample.answerTokenIds,
    shared_thinking_tokens: sample.sharedThinkingTokens,
    seed: String(sample.seed),
  };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
