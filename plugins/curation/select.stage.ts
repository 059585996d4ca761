import { defineStage, input, numberIn, pace, type Row, requireColumns, textIn } from 'simmerkit';
import { type SelectOptions, selectOptions } from './options.js';
import type { Candidate } from './selection.js';
import { sieveOutputs } from './sieve-outputs.js';

export const select = defineStage({
  description: "Chooses a small set: s1's sampler (diverse domains, long traces), or one of its baselines.",
  options: selectOptions,
  inputs: { dataset: input('dataset', 'Rows with a trace and a domain.') },
  outputs: sieveOutputs,
  check: ({ preselect }) =>
    preselect.flatMap(({ source }, index) => {
      try {
        new RegExp(source ?? '');
        return [];
      } catch (error) {
        return [{ path: `preselect.${index}.source`, code: 'invalid_pattern', message: (error as Error).message }];
      }
    }),
  async run(context) {
    const { selectRows } = await import('./selection.js');
    const { sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    requireColumns(inputs.dataset, columnsRead(options), 'The dataset');
    const isPreselected = preselection(options);
    const candidates: Candidate[] = [];
    const preselected: number[] = [];
    const reading = pace(context, { unit: 'rows', total: inputs.dataset.rowCount });
    for await (const row of inputs.dataset.rows()) {
      const candidate = { domain: domainOf(row, options), length: lengthOf(row, options) };
      if (isPreselected(row, candidate.length)) preselected.push(candidates.length);
      candidates.push(candidate);
      await reading.step();
    }
    const { method, count } = options;
    const { chosen } = selectRows(candidates, { method, count, seed: context.seed, preselected });
    return await sieve(context, inputs.dataset, (_, index) =>
      chosen.has(index) ? undefined : { rule: 'not_selected' },
    );
  },
});

function columnsRead({ method, lengthColumn, domainColumn, preselect }: SelectOptions): string[] {
  const usesDomains = method === 's1' || method === 'diverse';
  const usesLength = method === 's1' || method === 'longest' || preselect.some((one) => one.minLength !== undefined);
  return [
    'id',
    ...(usesDomains ? [domainColumn] : []),
    ...(usesLength ? [lengthColumn] : []),
    ...preselect.flatMap((one) => [...Object.keys(one.equals), ...(one.source === undefined ? [] : ['source'])]),
  ];
}

function domainOf(row: Row, { domainColumn }: SelectOptions): string {
  return textIn(row, domainColumn) ?? '';
}

/** A number as it is; of text its characters. */
function lengthOf(row: Row, { lengthColumn }: SelectOptions): number {
  return typeof row[lengthColumn] === 'string' ? row[lengthColumn].length : (numberIn(row, lengthColumn) ?? 0);
}

function preselection({ preselect }: SelectOptions): (row: Row, length: number) => boolean {
  const entries = preselect.map((one) => ({
    ...one,
    source: one.source === undefined ? undefined : new RegExp(one.source),
  }));
  return (row, length) =>
    entries.some(
      ({ source, minLength, equals }) =>
        (source === undefined || source.test(textIn(row, 'source') ?? '')) &&
        (minLength === undefined || length > minLength) &&
        Object.entries(equals).every(([column, value]) => row[column] === value),
    );
}
