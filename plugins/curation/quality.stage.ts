import { defineStage, input, type OptionProblem, workInThreads } from 'simmerkit';
import { languages } from './languages.js';
import { type QualityOptions, qualityOptions } from './options.js';
import { patternProblems } from './pattern-problems.js';
import { sieveFacts } from './row-facts.js';
import type { FoundDrops } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const quality = defineStage({
  description:
    "Drops rows with s1's marks of broken formatting, that need a picture, are too short or long, repeat themselves, or are in another language.",
  options: qualityOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and `question`.') },
  outputs: sieveOutputs,
  check: ({ drop, length, language }) => [
    ...drop.flatMap(({ pattern, flags }, index) => patternProblems(`drop.${index}.pattern`, pattern, flags)),
    ...Object.entries(length).flatMap(([column, limit]) => lengthProblems(column, limit)),
    ...(language?.allowed ?? []).flatMap(languageProblems),
  ],
  reads: (options) => ({ dataset: ['id', ...columnsRead(options)] }),
  columns: (_, columnsOf) => sieveColumns(columnsOf('dataset')),
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { gatherDrops, sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const needed = columnsRead(options);
    const read = 'source' in inputs.dataset.columns ? [...needed, 'source'] : needed;
    const module = new URL('./quality.work.js', import.meta.url);
    const isUnbounded = options.drop.length > 0;
    const work = { columns: [...new Set(read)], module, settings: options, unit: 'rows', isUnbounded };
    const drops = await gatherDrops(workInThreads<QualityOptions, FoundDrops>(context, inputs.dataset, work));
    return await sieve(context, inputs.dataset, (at) => drops.get(at));
  },
});

function columnsRead({ drop, repetition, language, length }: QualityOptions): readonly string[] {
  const limited = Object.entries(length).flatMap(([column, limit]) => (limit === undefined ? [] : [column]));
  return [
    'question',
    ...[...drop, ...repetition].map((rule) => rule.column),
    ...(language === undefined ? [] : [language.column]),
    ...limited,
  ];
}

function lengthProblems(column: string, limit: QualityOptions['length']['question']): readonly OptionProblem[] {
  const { min = 0, max = Number.POSITIVE_INFINITY } = limit ?? {};
  if (min <= max) return [];
  return [
    { path: `length.${column}.min`, code: 'nothing_kept', message: `\`min\` of ${column} is above its \`max\`.` },
  ];
}

/** In a language that is not told from others no text would be, and all would be dropped. */
function languageProblems(code: string, index: number): readonly OptionProblem[] {
  if (languages.includes(code)) return [];
  const hint = `Name one of a group: cmn of zho, arb of ara, pes of fas, zlm of msa. Known are ${languages.join(', ')}.`;
  const message = `No text is recognised as "${code}".`;
  return [{ path: `language.allowed.${index}`, code: 'unknown_language', message, hint }];
}
