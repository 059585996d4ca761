import { formatCount } from 'simmerkit';
import { html, type Markup, trusted } from './markup.js';
import type { BrowsedSample, BrowsedSamples } from './report-data.js';
import { answerPieces, type TracePiece, thinkingPieces, thinkingText } from './trace-pieces.js';

/**
 * Every sample, to be looked through: by model, policy and what became of it, forced tokens marked. The samples are data
 * in the page; its script writes them as text, never as markup.
 */
export function sampleBrowser(browsed: BrowsedSamples): Markup {
  const { problems, problemsInAll } = browsed;
  const distinct = (of: (sample: BrowsedSample) => string) => [
    ...new Set(problems.flatMap(({ samples }) => samples.map(of))),
  ];
  const models = distinct(({ trace }) => trace.model);
  const policies = distinct(({ trace }) => trace.policy);
  const isForcing = problems.some(({ samples }) => samples.some(({ trace }) => trace.method !== 'none'));
  const all =
    problems.length === problemsInAll
      ? ''
      : ` The first ${formatCount(problems.length)} of ${formatCount(problemsInAll)} problems by id; the rest are in the graded datasets.`;
  return html`<p>The first sample of each problem under each policy${isForcing ? html`; <mark>marked</mark> is what was forced` : ''}.${all}</p>
<form id="filters" class="filters">
${chooser('model', 'model', models)}${chooser('policy', 'policy', policies)}${chooser('outcome', 'outcome', [], isForcing ? [...outcomes, ...outcomesOfForcing] : outcomes)}
<label>text <input type="search" name="text" placeholder="in question or answer"></label>
<span id="found" class="soft small" role="status"></span>
</form>
<div id="samples"></div>
<p><button type="button" id="more">Show more</button></p>
<noscript><p class="soft">Looking through the samples needs JavaScript.</p></noscript>
<script type="application/json" id="sample-data">${trusted(dataOf(browsed))}</script>`;
}

const outcomes: readonly (readonly [string, string])[] = [
  ['right', 'right'],
  ['wrong', 'wrong, or no answer read'],
  ['unparsed', 'no answer read'],
];

const outcomesOfForcing: typeof outcomes = [
  ['changed', 'changed by forcing'],
  ['helped', 'wrong to right by forcing'],
  ['harmed', 'right to wrong by forcing'],
];

function chooser(
  name: string,
  label: string,
  values: readonly string[],
  named: readonly (readonly [string, string])[] = values.map((value) => [value, value]),
): Markup {
  return html`<label>${label} <select name="${name}"><option value="">all</option>${named.map(([value, text]) => html`<option value="${value}">${text}</option>`)}</select></label>
`;
}

/** JSON that may stand in a script element: what could end it is escaped. */
function dataOf({ problems }: BrowsedSamples): string {
  const pieces = (list: readonly TracePiece[]) => list.map(({ text, isForced }) => (isForced ? [text, 1] : [text]));
  const data = problems.map(({ id, question, gold, samples }) => ({
    id,
    question,
    gold,
    samples: samples.map(({ trace, changedFrom }) => ({
      model: trace.model,
      policy: trace.policy,
      verdict: trace.verdict,
      extracted: trace.extracted,
      thought: thinkingText(trace),
      thinking: pieces(thinkingPieces(trace)),
      answer: pieces(answerPieces(trace)),
      changedFrom,
    })),
  }));
  return JSON.stringify(data).replace(/</g, '\\u003c');
}

/** Runs in the page. */
export const sampleBrowserScript = `
(() => {
  const form = document.getElementById('filters');
  if (!form) return;
  const list = document.getElementById('samples'), more = document.getElementById('more'), found = document.getElementById('found');
  const problems = JSON.parse(document.getElementById('sample-data').textContent);
  const samples = problems.flatMap((problem) => problem.samples.map((sample) => ({ problem, ...sample })));
  const pageSize = 12;
  let matching = [], shown = 0;
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const isRight = (one) => one.verdict === 'right';
  const outcomes = {
    right: isRight,
    wrong: (one) => !isRight(one),
    unparsed: (one) => one.verdict === 'unparsed',
    changed: (one) => one.changedFrom !== undefined,
    helped: (one) => one.changedFrom !== undefined && isRight(one) && !isRight(one.changedFrom),
    harmed: (one) => one.changedFrom !== undefined && !isRight(one) && isRight(one.changedFrom),
  };
  const short = (text) => (text.length > 80 ? text.slice(0, 79) + '\u2026' : text);
  const given = (one) => one.verdict + (one.extracted === null || one.extracted === undefined ? '' : ': ' + short(one.extracted));
  const written = (pieces) => {
    const pre = element('pre');
    for (const [text, isForced] of pieces) pre.append(isForced ? element('mark', '', text) : text);
    return pre;
  };
  const card = (one) => {
    const box = element('details', 'sample'), summary = element('summary');
    summary.append(
      element('span', 'badge ' + (isRight(one) ? 'right' : 'wrong'), given(one)),
      element('span', 'soft', one.model + ', ' + one.policy + one.thought),
      element('span', 'what', one.problem.question),
    );
    box.append(summary);
    box.addEventListener('toggle', () => {
      if (!box.open || box.childElementCount > 1) return;
      const question = element('p', 'question', one.problem.question + ' ');
      question.append(element('span', 'soft', '(' + (one.problem.gold === null ? '' : 'gold: ' + one.problem.gold + '; ') + one.problem.id + ')'));
      box.append(question);
      if (one.changedFrom) box.append(element('p', 'soft small', 'Under ' + one.changedFrom.policy + ' it was ' + given(one.changedFrom) + '.'));
      box.append(written(one.thinking), written(one.answer));
    });
    return box;
  };
  const showMore = () => {
    for (const one of matching.slice(shown, shown + pageSize)) list.append(card(one));
    shown = Math.min(matching.length, shown + pageSize);
    more.hidden = shown >= matching.length;
  };
  const filter = () => {
    const { model, policy, outcome, text } = Object.fromEntries(new FormData(form));
    const sought = text.toLowerCase();
    matching = samples.filter((one) =>
      (model === '' || one.model === model) && (policy === '' || one.policy === policy) &&
      (outcome === '' || outcomes[outcome](one)) &&
      (sought === '' || (one.problem.question + ' ' + one.answer.map(([piece]) => piece).join('')).toLowerCase().includes(sought)));
    found.textContent = matching.length + ' of ' + samples.length + ' samples';
    list.replaceChildren();
    shown = 0;
    showMore();
  };
  form.addEventListener('input', filter);
  form.addEventListener('submit', (event) => event.preventDefault());
  more.addEventListener('click', showMore);
  filter();
})();`;
