import { askedMessages, defineStage, historyIn, input, type Log, optionalInput, shortened, textIn } from 'simmerkit';
import type { Answerer, Question, Reply } from './answerer.js';
import { askingEstimate, questionTokens } from './asking-estimate.js';
import { type DistillOptions, distillOptions } from './asking-options.js';
import { answererProblems, nameOf, openAnswerer } from './open-answerer.js';
import { factsOf, rowsOf, sieveFacts } from './row-facts.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const distill = defineStage({
  description:
    'Gets a trace and an answer to each question from a teacher, behind an OpenAI-compatible API or in a trainer.',
  options: distillOptions,
  inputs: {
    dataset: input('dataset', 'Rows with at least `id` and the column; what load kept as `history` is sent before it.'),
    teacher: optionalInput('model', 'The model that `trainer` runs.'),
  },
  outputs: sieveOutputs,
  check: (options, where) => answererProblems(options, where),
  reads: ({ column }) => ({ dataset: ['id', column] }),
  columns(_, columnsOf) {
    const columns = columnsOf('dataset');
    return sieveColumns(columns, ...(takesGold(columns ?? []) ? ['gold'] : []), 'reasoning', 'answer');
  },
  estimate: async (options, { inputs, ...around }) => {
    const { maxTokens } = options;
    const sampling = samplingOf(options);
    const asked = { requests: rowsOf(inputs.dataset), promptTokens: questionTokens, maxTokens, sampling };
    const { dataset = {}, ...outputs } = sieveFacts(inputs.dataset);
    const answered = { ...dataset, tokensPerRow: questionTokens + maxTokens, isAtMost: true };
    return {
      ...(await askingEstimate(options, asked, factsOf(inputs.teacher), around)),
      outputs: { ...outputs, dataset: answered },
    };
  },
  async run(context) {
    const { askingProgress, askQuestions } = await import('./ask-questions.js');
    const { openReplies } = await import('./open-replies.js');
    const { sieveAndChange } = await import('./sieve.js');
    const { inputs, options } = context;
    const { dataset, teacher } = inputs;
    const { temperature, topP, maxTokens, system } = options;
    const replies = await openReplies(context, options, samplingOf(options));
    await using journal = replies.journal;
    const historyOf = historyIn(dataset);
    async function* questions(): AsyncIterable<Question> {
      for await (const row of dataset.rows()) {
        const content = textIn(row, options.column) ?? '';
        if (content.trim() === '') continue;
        yield { id: textIn(row, 'id') ?? '', messages: askedMessages(content, historyOf(row), system) };
      }
    }
    const progress = askingProgress(context, [journal], dataset.rowCount);
    await askQuestions(context, questions(), {
      ...replies,
      progress,
      answerer: async () =>
        warningEarly(
          await openAnswerer(context, options, journal, { name: 'teacher', model: teacher }),
          options,
          context,
        ),
      // Servers draw as they like; a trainer draws from the recipe's seed.
      sampling: { temperature, topP, maxTokens, ...(options.trainer === undefined ? {} : { seed: context.seed }) },
    });
    await progress.finish();
    const { dollars, inputTokens, outputTokens } = journal.totals;
    for (const [name, value, unit] of [
      ['distill.dollars', dollars, 'dollars'],
      ['distill.input-tokens', inputTokens, 'tokens'],
      ['distill.output-tokens', outputTokens, 'tokens'],
    ] as const) {
      const data = { name, value, unit, count: journal.size, labels: { model: nameOf(options) } };
      await context.emit({ type: 'metric.measured', data });
    }
    const { columns } = dataset;
    const keepsAnswer = takesGold(Object.keys(columns));
    return await sieveAndChange(context, dataset, (row) => verdictOn(journal.get(textIn(row, 'id') ?? ''), options), {
      columns: { ...columns, ...(keepsAnswer ? { gold: 'VARCHAR' } : {}), reasoning: 'VARCHAR', answer: 'VARCHAR' },
      change: (row) => {
        const reply = journal.get(textIn(row, 'id') ?? '');
        return {
          ...row,
          ...(keepsAnswer ? { gold: row.answer } : {}),
          reasoning: reply?.reasoning ?? null,
          answer: reply?.answer ?? null,
        };
      },
    });
  },
});

/** Whether the answer that a row has becomes its gold answer. */
function takesGold(columns: readonly string[]): boolean {
  return columns.includes('answer') && !columns.includes('gold');
}

/** What replies depend on besides their questions; how long they may be is kept with each. */
function samplingOf({ temperature, topP }: DistillOptions) {
  return { temperature, topP };
}

/** So many replies of a teacher that are lost in the same way are no matter of the questions. */
const lostInARow = 8;

/** Warns while most is not paid for yet, where the first replies are all dropped for what an option can change. */
function warningEarly(answerer: Answerer, options: DistillOptions, { log }: { readonly log: Log }): Answerer {
  let replies = 0;
  const lost = new Map<string, number>();
  const look = (reply: Reply) => {
    const rule = verdictOn(reply, options)?.rule;
    if (rule === 'refused' || ++replies > lostInARow || rule === undefined) return;
    lost.set(rule, (lost.get(rule) ?? 0) + 1);
    const remedy = remedyOf(rule, options);
    if (lost.get(rule) !== lostInARow || remedy === undefined) return;
    log.warning(`The first ${lostInARow} replies of ${nameOf(options)} are all dropped as \`${rule}\`. ${remedy}`);
  };
  return {
    answer: (questions, sampling, keep, signal) =>
      answerer.answer(
        questions,
        sampling,
        async (reply) => {
          look(reply);
          await keep(reply);
        },
        signal,
      ),
  };
}

function remedyOf(rule: string, { trainer, maxTokens }: DistillOptions): string | undefined {
  if (rule === 'truncated')
    return `They were cut at \`maxTokens\`, ${maxTokens}: stop the run, and run it again with more. They are asked again then.`;
  if (rule !== 'no_reasoning') return undefined;
  if (trainer === undefined)
    return 'If it is no reasoning model, set `withoutReasoning: keep`: what is paid for is used then, too.';
  return 'If its thinking does not end with </think>, set `thinkingFormat`; if it does not think, `withoutReasoning: keep`.';
}

function verdictOn(reply: Reply | undefined, { column, truncated, withoutReasoning }: DistillOptions) {
  if (reply === undefined) return { rule: 'not_asked', evidence: `its ${column} is empty` };
  if (reply.finish === 'refused') return { rule: 'refused', evidence: reply.refusal ?? 'the teacher declined' };
  if (reply.finish === 'length' && truncated === 'drop') {
    return { rule: 'truncated', evidence: `cut after ${reply.outputTokens} tokens` };
  }
  if (reply.answer === '' && reply.finish !== 'length') {
    return { rule: 'no_answer', evidence: `ended (${reply.finish}) after ${reply.outputTokens} tokens` };
  }
  if (reply.reasoning === '' && withoutReasoning === 'drop') {
    return { rule: 'no_reasoning', evidence: shortened(reply.answer) };
  }
  return undefined;
}
