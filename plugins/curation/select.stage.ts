import { defineStage, formatCount, formatCounted, input, numberIn, pace, type Row, textIn } from 'simmerkit';
import { characterCount } from './characters.js';
import { type SelectOptions, selectOptions } from './options.js';
import { patternProblems } from './pattern-problems.js';
import { sieveFacts } from './row-facts.js';
import type { Candidate } from './selection.js';
import type { VerdictOn } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

export const select = defineStage({
  description: "Chooses a small set: s1's sampler (diverse domains, long traces), or one of its baselines.",
  options: selectOptions,
  inputs: { dataset: input('dataset', 'Rows with a trace and a domain.') },
  outputs: sieveOutputs,
  check: ({ preselect, later }) => [
    ...preselect.flatMap(({ source }, index) => patternProblems(`preselect.${index}.source`, source ?? '')),
    ...patternProblems('later.sources', later.sources),
  ],
  reads: (options) => ({ dataset: columnsRead(options) }),
  columns: (_, columnsOf) => sieveColumns(columnsOf('dataset')),
  estimate: ({ method, count }, { inputs }) => ({
    outputs: sieveFacts(inputs.dataset, method === 'all' ? undefined : count),
  }),
  async run(context) {
    const { Preselection, sourceTest } = await import('./preselection.js');
    const { selectRows } = await import('./selection.js');
    const { sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const needed = columnsRead(options);
    // Said of a row where it is there, needed or not.
    const told = [options.domainColumn, options.lengthColumn, 'source'];
    const columns = [...new Set([...needed, ...told.filter((column) => column in inputs.dataset.columns)])];
    const preselection = new Preselection(options.preselect, inputs.dataset.columns);
    const candidates: Candidate[] = [];
    const preselected: number[] = [];
    const later = laterOf(options);
    const isLike = sourceTest(new RegExp(later?.sources ?? '(?!)', 'i'));
    const weights = new Map<string, number>();
    let areDigits = inputs.dataset.rowCount > 0;
    const reading = pace(context, { unit: 'rows', total: inputs.dataset.rowCount });
    for await (const row of inputs.dataset.rows({ columns })) {
      const candidate = { domain: domainOf(row, options), length: lengthOf(row, options) };
      if (preselection.takes(row, candidate.length)) preselected.push(candidates.length);
      if (isLike(row)) weights.set(candidate.domain, (weights.get(candidate.domain) ?? 0) + 1);
      candidates.push(candidate);
      areDigits &&= isDigits(row[options.lengthColumn]);
      await reading.step();
    }
    for (const index of preselection.idle)
      context.log.warning(`preselect.${index} takes no row: a source is matched with its case, and all must hold.`);
    if (areDigits && needed.includes(options.lengthColumn)) {
      const column = options.lengthColumn;
      context.log.warning(
        `Column ${column} holds numbers as text, and their digits are counted. Load it with types: { ${column}: BIGINT }.`,
      );
    }
    const { method, count } = options;
    const most = method === 'all' ? candidates.length : Math.min(count, candidates.length);
    const drawing = pace(context, { unit: 'rows drawn', total: Math.max(0, most - preselected.length) });
    const settings = {
      method,
      count,
      seed: context.seed,
      preselected,
      ...(later === undefined ? {} : { later: { after: later.after, weights } }),
    };
    const { chosen } = await selectRows(candidates, settings, (drawn) => drawing.step(undefined, drawn));
    if (method !== 'all' && candidates.length < count) {
      context.log.info(
        `The dataset has ${formatCounted(candidates.length, 'row')}, and ${formatCount(count)} were asked for: all are taken.`,
      );
    }
    const verdictOn: VerdictOn = (index) => {
      const reason = chosen.get(index);
      const { domain, length } = candidates[index] as Candidate;
      const facts = [`length ${length}`, ...(usesDomains(method) ? [`domain ${JSON.stringify(domain)}`] : [])];
      return reason === undefined
        ? { rule: 'not_selected', evidence: facts.join(', ') }
        : { kept: true, rule: reason.rule, evidence: `${reason.evidence ?? facts.join(', ')}` };
    };
    return await sieve(context, inputs.dataset, verdictOn);
  },
});

function usesDomains(method: SelectOptions['method']): boolean {
  return method === 's1' || method === 'diverse';
}

function laterOf({ method, variant, later }: SelectOptions): SelectOptions['later'] | undefined {
  return method === 's1' && variant === 'code' ? later : undefined;
}

function columnsRead(options: SelectOptions): string[] {
  const { method, lengthColumn, domainColumn, preselect } = options;
  const usesLength = method === 's1' || method === 'longest' || preselect.some((one) => one.minLength !== undefined);
  return [
    'id',
    ...(usesDomains(method) ? [domainColumn] : []),
    ...(laterOf(options) === undefined ? [] : ['source', domainColumn]),
    ...(usesLength ? [lengthColumn] : []),
    ...preselect.flatMap((one) => [...Object.keys(one.equals), ...(one.source === undefined ? [] : ['source'])]),
  ];
}

function domainOf(row: Row, { domainColumn }: SelectOptions): string {
  return textIn(row, domainColumn) ?? '';
}

function isDigits(value: unknown): boolean {
  return typeof value === 'string' && /^\d+$/.test(value);
}

/** A number as it is; of text its characters. */
function lengthOf(row: Row, { lengthColumn }: SelectOptions): number {
  return typeof row[lengthColumn] === 'string' ? characterCount(row[lengthColumn]) : (numberIn(row, lengthColumn) ?? 0);
}
