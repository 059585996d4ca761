import { defineStage, input, optionalInput, type ReplyJournal, type Row, shortenedAtStart, textIn } from 'simmerkit';
import type { Answerer, KeptAnswer, Question } from './answerer.js';
import { askingEstimate, questionTokens } from './asking-estimate.js';
import { type ClassifyOptions, classifyOptions } from './asking-options.js';
import { answererProblems, openAnswerer } from './open-answerer.js';
import { factsOf, rowsOf, sieveFacts } from './row-facts.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

/** A class and what it is called in the replies of a model. */
interface DomainClass {
  readonly code: string;
  readonly title: string;
}

interface Domain {
  /** Null for a domain of a column that the taxonomy does not have. */
  readonly code: string | null;
  readonly title: string;
}

const repeatedTemperature = 0.5;
/** Of English, roughly, for estimates. */
const charactersPerToken = 4;

export const classify = defineStage({
  description: 'Gives each row a domain: from a column, or chosen by a language model from a list of classes.',
  options: classifyOptions,
  inputs: {
    dataset: input('dataset', 'Rows with at least `id` and the column.'),
    classifier: optionalInput('model', 'The model that `trainer` runs.'),
  },
  outputs: sieveOutputs,
  check: (options, where) => {
    const { taxonomy } = options;
    const codes = taxonomy === 'msc' ? [] : taxonomy.map(({ code }) => code.toLowerCase());
    const twice = codes.find((code, index) => codes.indexOf(code) !== index);
    return [
      ...(asksModel(options) ? answererProblems(options, where) : []),
      ...(twice === undefined
        ? []
        : [{ path: 'taxonomy', code: 'class_twice', message: `The class "${twice}" is in the taxonomy twice.` }]),
    ];
  },
  reads: (options) => ({
    dataset: [
      'id',
      ...(options.fromColumn === undefined ? [] : [options.fromColumn]),
      ...(asksModel(options) ? [options.column] : []),
    ],
  }),
  columns: (_, columnsOf) => sieveColumns(columnsOf('dataset'), 'domain', 'domain_code'),
  estimate: async (options, { inputs, ...around }) => {
    const outputs = sieveFacts(inputs.dataset);
    if (!asksModel(options)) return { outputs };
    const { taxonomy, attempts, maxTokens } = options;
    const classes = await classesOf(taxonomy);
    const rows = rowsOf(inputs.dataset);
    const promptTokens = questionTokens + Math.ceil(promptFor('', classes).length / charactersPerToken);
    const asked = { requests: rows === undefined ? undefined : rows * attempts, promptTokens, maxTokens, sampling: {} };
    return { ...(await askingEstimate(options, asked, factsOf(inputs.classifier), around)), outputs };
  },
  async run(context) {
    const { askingProgress, askQuestions } = await import('./ask-questions.js');
    const { openReplies } = await import('./open-replies.js');
    const { sieveAndChange } = await import('./sieve.js');
    const { inputs, options } = context;
    const { dataset, classifier } = inputs;
    const { fromColumn, taxonomy, column } = options;
    const asks = asksModel(options);
    const classes = await classesOf(taxonomy);
    const replies = await openReplies(context, options, {});
    await using journal = replies.journal;
    async function* questions(attempt: number): AsyncIterable<Question> {
      for await (const row of dataset.rows()) {
        const id = textIn(row, 'id') ?? '';
        const text = textIn(row, column) ?? '';
        if (text.trim() === '' || domainInColumn(row, fromColumn, classes) !== undefined) continue;
        if (attempt > 0 && !isOpen(replyTo(id, journal, { attempts: attempt }, classes))) continue;
        yield { id: questionId(id, attempt), messages: [{ role: 'user', content: promptFor(text, classes) }] };
      }
    }
    // One for all attempts: it says once what it has to say of its server.
    let answerer: Promise<Answerer> | undefined;
    const open = () => openAnswerer(context, options, journal, { name: 'classifier', model: classifier });
    for (let attempt = 0; asks && attempt < options.attempts; attempt++) {
      const progress = askingProgress(context, [journal], attempt === 0 ? dataset.rowCount : null);
      await askQuestions(context, questions(attempt), {
        ...replies,
        progress,
        answerer: () => (answerer ??= open()),
        sampling: {
          temperature: attempt === 0 ? 0 : repeatedTemperature,
          topP: 1,
          maxTokens: options.maxTokens,
          seed: attempt,
        },
      });
      await progress.finish();
    }
    const titles = new Map(classes.map(({ code, title }) => [code, title]));
    const domainOf = (row: Row): Domain | undefined => {
      const inColumn = domainInColumn(row, fromColumn, classes);
      if (inColumn !== undefined) return inColumn;
      const code = replyTo(textIn(row, 'id') ?? '', journal, options, classes)?.code ?? null;
      return code === null ? undefined : { code, title: titles.get(code) ?? code };
    };
    return await sieveAndChange(
      context,
      dataset,
      (row) => {
        const domain = domainOf(row);
        if (domain !== undefined) {
          const evidence = domain.code === null ? domain.title : `${domain.code} ${domain.title}`;
          return { kept: true, rule: 'classified', evidence };
        }
        const said = replyTo(textIn(row, 'id') ?? '', journal, options, classes)?.reply;
        const evidence = said ?? 'no model was asked';
        return options.unclassified === 'drop'
          ? { rule: 'unclassified', evidence }
          : { kept: true, rule: 'unclassified', evidence };
      },
      {
        columns: { ...dataset.columns, domain: 'VARCHAR', domain_code: 'VARCHAR' },
        change: (row) => {
          const domain = domainOf(row);
          return { ...row, domain: domain?.title ?? null, domain_code: domain?.code ?? null };
        },
      },
    );
  },
});

async function classesOf(taxonomy: ClassifyOptions['taxonomy']): Promise<readonly DomainClass[]> {
  if (taxonomy !== 'msc') return taxonomy;
  const { mscClasses } = await import('./msc.js');
  return mscClasses.map(([code, title]) => ({ code, title }));
}

/** With a column to read from, a model is only asked where one is named. */
function asksModel({ fromColumn, url, trainer }: ClassifyOptions): boolean {
  return fromColumn === undefined || url !== undefined || trainer !== undefined;
}

/** The first attempt has the row's id, so that it is what a reply is kept under. */
function questionId(id: string, attempt: number): string {
  return attempt === 0 ? id : `${id}/${attempt}`;
}

interface Said {
  readonly code: string | null;
  readonly reply: string;
  readonly isRefused: boolean;
}

/** What a model said of a row: the first reply that names a class, or the last one. */
function replyTo(
  id: string,
  journal: ReplyJournal<KeptAnswer>,
  { attempts }: Pick<ClassifyOptions, 'attempts'>,
  classes: readonly DomainClass[],
): Said | undefined {
  let last: Said | undefined;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const reply = journal.get(questionId(id, attempt));
    if (reply === undefined) break;
    const isRefused = reply.finish === 'refused';
    last = { code: classIn(reply.answer, classes), reply: shortenedAtStart(reply.refusal ?? reply.answer), isRefused };
    if (!isOpen(last)) break;
  }
  return last;
}

/** Whether a model is worth asking again. */
function isOpen(said: Said | undefined): boolean {
  return said !== undefined && said.code === null && !said.isRefused;
}

function domainInColumn(row: Row, column: string | undefined, classes: readonly DomainClass[]): Domain | undefined {
  const text = column === undefined ? '' : (textIn(row, column) ?? '').trim();
  if (text === '') return undefined;
  const code = classIn(text, classes);
  const found = classes.find((one) => one.code === code);
  return found ?? { code: null, title: text };
}

function promptFor(question: string, classes: readonly DomainClass[]): string {
  const list = classes.map(({ code, title }) => `${code}: ${title}`).join('\n');
  return (
    `Which of these classes does the problem below belong to?\n\n${list}\n\n` +
    `Problem:\n${question}\n\nName the one class that fits best. Write its code, and nothing else, on the last line.`
  );
}

/** The code on the last line; null unless that is one code of the list, or one title, and nothing else. */
export function classIn(reply: string, classes: readonly DomainClass[]): string | null {
  const last = reply.trim().split('\n').at(-1) ?? '';
  const said = last
    .replace(/[*`."']/g, '')
    .replace(/^\s*(?:code|class)\s*:/i, '')
    .trim()
    .toLowerCase();
  const found = classes.find(({ code, title }) =>
    [code, title, `${code}: ${title}`].some((name) => name.replace(/[*`."']/g, '').toLowerCase() === said),
  );
  return found?.code ?? null;
}
