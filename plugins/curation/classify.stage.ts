import { defineStage, input, OpenAiEndpoint, requireColumns, textIn, z } from 'simmerkit';
import { type ClassifyOptions, classifyOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';

/** A class and what it is called in the replies of a model. */
export interface DomainClass {
  readonly code: string;
  readonly title: string;
}

/** What a model said of a question, or of several attempts the last. */
interface Reply {
  readonly id: string;
  /** Null where no reply named a class. */
  readonly code: string | null;
  readonly reply: string;
}

const repeatedTemperature = 0.5;
const retries = 6;

export const classify = defineStage({
  description: 'Gives each row a domain: a model behind an OpenAI-compatible API chooses one of a list of classes.',
  options: classifyOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and the column.') },
  outputs: sieveOutputs,
  check: ({ taxonomy }) => {
    const codes = taxonomy === 'msc' ? [] : taxonomy.map(({ code }) => code.toLowerCase());
    const twice = codes.find((code, index) => codes.indexOf(code) !== index);
    return twice === undefined
      ? []
      : [{ path: 'taxonomy', code: 'class_twice', message: `The class "${twice}" is in the taxonomy twice.` }];
  },
  async run(context) {
    const { askRows } = await import('./ask-rows.js');
    const { mscClasses } = await import('./msc.js');
    const { ReplyJournal } = await import('./reply-journal.js');
    const { sieveAndChange } = await import('./sieve.js');
    const { inputs, options } = context;
    requireColumns(inputs.dataset, ['id', options.column], 'The dataset');
    const classes =
      options.taxonomy === 'msc' ? mscClasses.map(([code, title]) => ({ code, title })) : options.taxonomy;
    const { url, apiKeyVariable, timeoutMilliseconds, concurrency } = options;
    await using journal = await ReplyJournal.open<Reply>(context.scratchFolder);
    await askRows(context, inputs.dataset, {
      journal,
      concurrency,
      ask: (row, id, signal) => {
        const endpoint = new OpenAiEndpoint({ url, apiKeyVariable, timeoutMilliseconds, retries, signal });
        return askFor(id, textIn(row, options.column) ?? '', classes, options, endpoint);
      },
    });
    const titles = new Map(classes.map(({ code, title }) => [code, title]));
    const domainOf = (id: string | null) => {
      const code = journal.get(id ?? '')?.code ?? null;
      return { domain_code: code, domain: code === null ? null : (titles.get(code) ?? null) };
    };
    return await sieveAndChange(
      context,
      inputs.dataset,
      (row) => {
        const { domain, domain_code: code } = domainOf(textIn(row, 'id'));
        if (code !== null) return { kept: true, rule: 'classified', evidence: `${code} ${domain}` };
        const evidence = journal.get(textIn(row, 'id') ?? '')?.reply ?? '';
        return options.unclassified === 'drop'
          ? { rule: 'unclassified', evidence }
          : { kept: true, rule: 'unclassified', evidence };
      },
      {
        columns: { ...inputs.dataset.columns, domain: 'VARCHAR', domain_code: 'VARCHAR' },
        change: (row) => ({ ...row, ...domainOf(textIn(row, 'id')) }),
      },
    );
  },
});

async function askFor(
  id: string,
  question: string,
  classes: readonly DomainClass[],
  options: ClassifyOptions,
  endpoint: OpenAiEndpoint,
): Promise<Reply> {
  let reply = '';
  for (let attempt = 0; attempt < options.attempts; attempt++) {
    const response = await endpoint.post('chat/completions', {
      model: options.model,
      messages: [{ role: 'user', content: promptFor(question, classes) }],
      max_tokens: options.maxTokens,
      temperature: attempt === 0 ? 0 : repeatedTemperature,
      seed: attempt,
    });
    reply = replySchema.safeParse(response).data?.choices[0]?.message.content ?? '';
    const code = classIn(reply, classes);
    if (code !== null) return { id, code, reply: shortened(reply) };
  }
  return { id, code: null, reply: shortened(reply) };
}

const replySchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })).min(1),
});

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

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= 200 ? line : `…${line.slice(-200)}`;
}
