import { formatCount, formatCounted, formatShare } from 'simmerkit';
import { type AccuracyTable, isPlain, signedPoints } from '../accuracy-table.js';
import { accuracyChart, isThinking, waitsChart } from './charts/accuracy-chart.js';
import { methodClass, methodsOf, modelClass } from './charts/draw.js';
import { methodsChart } from './charts/methods-chart.js';
import {
  byMaximum,
  type ComparedRun,
  type ComparisonReport,
  comparedModels,
  type Difference,
  isForced,
  longestRun,
} from './comparison-report.js';
import { html, type Markup, trusted } from './markup.js';
import { publishedS1 } from './published-s1.js';

/** The figures that matter most, as cards: a row for each tuned model. */
export function headline(report: ComparisonReport): Markup {
  return html`${report.models.tuned.map((model) => headlineOf(report, model))}`;
}

function headlineOf(report: ComparisonReport, model: string): Markup {
  const untuned = longestRun(report, report.models.untuned[0]);
  const tuned = longestRun(report, model);
  const find = (kind: Difference['kind'], to: ComparedRun | undefined) =>
    report.differences.find((one) => one.kind === kind && one.to.model === to?.model && one.to.policy === to.policy);
  const fineTuning = find('model', tuned);
  const thinking = find('maximum', tuned);
  const waits = report.differences.filter((one) => one.kind === 'waits' && one.to.model === tuned?.model);
  return html`<div class="cards">
${tuned === undefined ? undefined : card(formatShare(tuned.accuracy), `accuracy of ${tuned.model}`, html`${report.runs.every(isUnthinking) ? '' : `${limitOf(tuned)}, `}${formatCounted(tuned.problems, 'problem')}${untuned === undefined ? '' : html`; ${untuned.model}: ${formatShare(untuned.accuracy)}`}`)}
${fineTuning === undefined ? undefined : card(signedPoints(fineTuning.difference), `points over ${fineTuning.from.model}`, intervalOf(fineTuning))}
${thinking === undefined ? undefined : card(signedPoints(thinking.difference), `points by thinking longer, ${thinking.from.policy} to ${thinking.to.policy} tokens`, intervalOf(thinking))}
${waits.length === 0 ? undefined : waitsCard(waits)}
</div>`;
}

function waitsCard(waits: readonly Difference[]): Markup {
  // Where every maximum was made to wait, a line has to say which one it is of.
  const isOfOne = new Set(waits.map(({ from }) => from.policy)).size === 1;
  const named = ({ to }: Difference) => (isOfOne ? to.policy.replace(/^\w+\+/, '') : to.policy);
  const lines = waits.map(
    (one) =>
      html`<div>${named(one)}: ${intervalOf(one)}, ${one.wrongToRight} wrong to right, ${one.rightToWrong} right to wrong</div>`,
  );
  return card(waits.map((one) => signedPoints(one.difference)).join(', '), 'points by waiting', html`${lines}`);
}

function card(figure: string, label: string, detail: Markup): Markup {
  return html`<div class="card"><div class="figure">${figure}</div><div class="label">${label}</div><div class="detail">${detail}</div></div>`;
}

function intervalOf(one: Difference): Markup {
  return html`95% interval ${signedPoints(one.interval[0])} to ${signedPoints(one.interval[1])}`;
}

function limitOf(run: ComparedRun): string {
  if (run.method === 'none') return 'without thinking';
  return run.maxThinkingTokens === null ? 'no thinking maximum' : `at most ${run.maxThinkingTokens} thinking tokens`;
}

function keys(report: ComparisonReport): Markup {
  return html`${comparedModels(report).map((model) => html`<span class="key ${modelClass(report, model)}">${model}</span>`)}`;
}

/** Whether it was not asked to think: nothing is said of its thinking. */
function isUnthinking(run: Pick<ComparedRun, 'method'>): boolean {
  return run.method === 'none';
}

/** Accuracy against thinking: of budget forcing, and of every method beside it. */
export function accuracySection(report: ComparisonReport): Markup {
  if (report.runs.every(isUnthinking))
    return html`${runsTable(report.runs)}
${differencesTable(report.differences)}`;
  const forced = comparedModels(report).flatMap((model) => byMaximum(report, model));
  const others = report.runs.filter((run) => !isForced(run));
  return html`${forced.some(isThinking) ? html`<figure>${trusted(accuracyChart(report))}<figcaption>${keys(report)} Bars are 95% intervals; each point is one thinking maximum, at the thinking it really took.</figcaption></figure>` : undefined}
${runsTable(forced)}
${others.length === 0 ? undefined : html`<h3>Every method</h3><figure>${trusted(methodsChart(report))}<figcaption>${methodKeys(report, report.runs)} Bars are 95% intervals; a line joins the runs of one method. Pale: the model before fine-tuning.</figcaption></figure>${runsTable(others)}`}
${scalingTable(report)}
${publishedSection(report)}
${differencesTable(report.differences.filter((one) => one.kind !== 'waits'))}`;
}

/** What was graded, where nothing compares it. */
export function gradedSection({ models, policies }: AccuracyTable): Markup {
  const hasThinking = !isPlain(policies);
  const rows = models.flatMap((model) =>
    policies.flatMap(({ id, label, accuracies }) => {
      const metric = accuracies.get(model);
      if (metric === undefined) return [];
      const { value, interval, count } = metric;
      const bounds = interval === undefined ? '' : `${formatShare(interval[0])} to ${formatShare(interval[1])}`;
      return [
        html`<tr><td>${model}</td><td>${id}</td>${hasThinking ? html`<td>${label}</td>` : undefined}<td class="number">${formatShare(value)}</td><td class="number">${bounds}</td><td class="number">${count === undefined ? '' : formatCount(count)}</td></tr>`,
      ];
    }),
  );
  return html`<div class="scroll"><table><thead><tr><th>model</th><th>policy</th>${hasThinking ? html`<th>thinking at most</th>` : undefined}<th class="number">accuracy</th><th class="number">95% interval</th><th class="number">problems</th></tr></thead><tbody>
${rows}
</tbody></table></div>`;
}

/** Only for those who ask: other problems, and another model. */
function publishedSection(report: ComparisonReport): Markup {
  if (!report.runs.some(isThinking)) return html``;
  return html`<details><summary>Beside the published points of s1</summary><figure>${trusted(methodsChart(report, publishedS1))}<figcaption>${methodKeys(report, [...report.runs, ...publishedS1])} Hollow and dashed: s1-32B on AIME24 (Muennighoff et al., arXiv 2501.19393v3, tables 12 to 14). Solid: this run, on its own problems.</figcaption></figure></details>`;
}

function methodKeys(report: ComparisonReport, shown: readonly { readonly method: string }[]): Markup {
  const methods = methodsOf(report);
  const used = methods.filter((method) => shown.some((one) => one.method === method));
  return html`${used.map((method) => html`<span class="key ${methodClass(method, methods)}">${method === 'none' ? 'nothing forced' : method}</span>`)}`;
}

function runsTable(runs: readonly ComparedRun[]): Markup {
  const ofThinking = (markup: Markup) => (runs.every(isUnthinking) ? undefined : markup);
  return html`<div class="scroll"><table><thead><tr><th>model</th>${ofThinking(html`<th>method</th>`)}<th>policy</th>${ofThinking(html`<th class="number">limit</th>`)}<th class="number" title="problems, and samples of each">answers</th><th class="number">accuracy</th><th class="number">95% interval</th>${ofThinking(html`<th class="number" title="mean thinking tokens">thinking</th>`)}<th class="number" title="mean answer tokens">answer</th>${ofThinking(html`<th class="number" title="thinking that the model ended by itself">ended itself</th><th class="number" title="thinking that was forced to end">forced</th>`)}<th class="number" title="answers in which none could be read">unread</th></tr></thead><tbody>
${runs.map((run) => html`<tr><td>${run.model}</td>${ofThinking(html`<td>${run.method}</td>`)}<td>${run.policy}</td>${ofThinking(html`<td class="number">${run.maxThinkingTokens ?? 'none'}</td>`)}<td class="number">${answersOf(run)}</td><td class="number">${formatShare(run.accuracy)}</td><td class="number">${formatShare(run.interval[0])} to ${formatShare(run.interval[1])}</td>${ofThinking(html`<td class="number">${run.meanThinkingTokens.toFixed(1)}</td>`)}<td class="number">${run.meanAnswerTokens.toFixed(1)}</td>${ofThinking(html`<td class="number">${formatShare(run.finishedShare)}</td><td class="number">${formatShare(run.forcedEndShare)}</td>`)}<td class="number">${formatShare(run.unparsedShare)}</td></tr>`)}
</tbody></table></div>`;
}

/** "200", or "200 × 4" where each problem has several samples. */
function answersOf({ problems, samples }: ComparedRun): string {
  const each = samples / problems;
  return each === 1 ? formatCount(problems) : `${formatCount(problems)} × ${Number(each.toFixed(1))}`;
}

function scalingTable(report: ComparisonReport): Markup {
  if (report.scaling.length === 0) return html``;
  return html`<div class="scroll"><table><thead><tr><th>model</th><th>over</th><th class="number">Control</th><th class="number">Scaling, points a doubling</th><th class="number">Scaling, points a token</th><th class="number">Performance</th></tr></thead><tbody>
${report.scaling.map((one) => html`<tr><td>${one.model}</td><td>${one.series}</td><td class="number">${one.control === null ? 'no limits' : formatShare(one.control)}</td><td class="number">${fixed(one.scalingPerDoubling, 1)}</td><td class="number">${fixed(one.scalingPerToken, 5)}</td><td class="number">${formatShare(one.performance)}</td></tr>`)}
</tbody></table></div>`;
}

/** With the minus sign of `signedPoints`. */
function fixed(value: number | null, digits: number): string {
  return value?.toFixed(digits).replace('-', '\u2212') ?? 'not defined';
}

function differencesTable(differences: readonly Difference[]): Markup {
  if (differences.length === 0) return html``;
  return html`<div class="scroll"><table><thead><tr><th>paired difference</th><th class="number">points</th><th class="number">95% interval</th><th class="number">wrong to right</th><th class="number">right to wrong</th><th class="number">problems</th></tr></thead><tbody>
${differences.map((one) => html`<tr><td>${one.from.model} ${one.from.policy} → ${one.to.model} ${one.to.policy}</td><td class="number">${signedPoints(one.difference)}</td><td class="number">${signedPoints(one.interval[0])} to ${signedPoints(one.interval[1])}</td><td class="number">${one.wrongToRight}</td><td class="number">${one.rightToWrong}</td><td class="number">${one.problems}</td></tr>`)}
</tbody></table></div>`;
}

/** What waiting did. */
export function waitsSection(report: ComparisonReport): Markup {
  const waited = report.runs.filter((run) => run.ignore > 0);
  if (waited.length === 0) return html`<p class="soft">No run was made to wait.</p>`;
  return html`<p>When the model ends its thinking, the end is suppressed and a word appended, so that it goes on. What came of it, as measured:</p>
<figure>${trusted(waitsChart(report))}<figcaption>${keys(report)} At the largest maximum; bars are 95% intervals.</figcaption></figure>
${differencesTable(report.differences.filter((one) => one.kind === 'waits'))}${runsTable(waited)}`;
}
