import { createHash } from 'node:crypto';
import { formatBytes, formatCount, formatCounted, formatDuration, formatShare, inStageOrder } from 'simmerkit';
import { type AccuracyTable, accuracyTable, isPlain } from '../accuracy-table.js';
import { colorRules } from './charts/draw.js';
import { funnelChart } from './charts/funnel-chart.js';
import { lossChart } from './charts/loss-chart.js';
import type { ComparisonReport } from './comparison-report.js';
import { accuracySection, gradedSection, headline, waitsSection } from './evaluation-sections.js';
import { html, type Markup, trusted } from './markup.js';
import type { Compared, ReportData, StageTime, TrainingCurve } from './report-data.js';
import { sampleBrowser, sampleBrowserScript } from './sample-browser.js';
import { spendingSection } from './spending-section.js';
import { style } from './style.js';
import { tracePair } from './trace-view.js';

/** The whole page, self-contained: no request leaves it. */
export function page(data: ReportData): string {
  const stages = data.plan?.stages.map(({ name }) => name) ?? [];
  const { comparisons } = data;
  const graded = accuracyTable(inStageOrder(data.figures, stages));
  const isEvaluated =
    comparisons.length + graded.policies.length + data.forcing.length + data.browsed.problems.length > 0;
  const body = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(contentPolicy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Simmer ${data.simmerVersion}">
<title>${data.recipe}: Simmer report</title>
<style>${trusted(styles)}</style>
</head>
<body>
<main>
<header><h1>${data.recipe}</h1><button type="button" id="theme">light or dark</button></header>
<p class="soft small">Run ${data.runId}, started ${data.startedAt.slice(0, 16).replace('T', ' ')} UTC, took ${formatDuration(data.seconds)}. Every figure below was computed from this run's events and artifacts.</p>
${data.plan?.changes === undefined ? undefined : html`<p class="soft small">The recipe as written, changed by <code>${data.plan.changes.join(' ')}</code>.</p>`}
${isEvaluated ? evaluation(data, graded) : nothing('No model was evaluated.')}
<h2>Curation</h2>
${data.funnel.length === 0 ? nothing('No stage of this run chose between rows.') : html`<figure>${trusted(funnelChart(data.funnel))}<figcaption>Rows kept (blue) and dropped (pale) by each step, in order.</figcaption></figure>${funnelTable(data)}`}
<h2>Training</h2>
${data.trainings.length === 0 ? nothing('Nothing was trained in this run.') : data.trainings.map(trainingSection)}
<h2>Time and memory</h2>
${stagesTable(data.stages)}
${spendingSection(data.spending)}
<h2>How it ran</h2>
${incidentsSection(data)}
<details><summary>All metrics (${Object.keys(data.figures).length})</summary>${metricsTable(data)}</details>
<details><summary>Versions</summary>${versionsTable(data)}</details>
<details><summary>Recipe, as written</summary><pre>${data.recipeText}</pre></details>
<details><summary>Recipe, resolved (plan ${data.planDigest.slice(0, 12)})</summary><pre>${JSON.stringify(data.plan ?? null, null, 2)}</pre></details>
<footer>Made by Simmer ${data.simmerVersion}. Intervals are 95%, by bootstrap over problems${drawsOf(comparisons)}, by Wilson's score where all problems went alike.</footer>
</main>
<script>${trusted(scripts)}</script>
</body>
</html>
`;
  return body.text;
}

const themeScript = `
document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
});`;

const styles = `${style}${colorRules}\n`;
const scripts = themeScript + sampleBrowserScript;

/** The page runs and shows what is its own, whatever models wrote: it fetches nothing, and sends nothing anywhere. */
const contentPolicy = [
  "default-src 'none'",
  `script-src '${sourceDigest(scripts)}'`,
  `style-src '${sourceDigest(styles)}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** As a policy names the text of an element. */
function sourceDigest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

/** What models answered, and what came of it. */
function evaluation(data: ReportData, graded: AccuracyTable): Markup {
  const { comparisons } = data;
  const isGraded = graded.policies.length > 0;
  const hasThinking = !isPlain(graded.policies);
  return html`${comparisons.length === 0 ? html`<p>No comparison of models: this recipe has no <code>eval/compare</code> stage.</p>` : ofEach(comparisons, headline)}
<h2>${hasThinking ? 'Accuracy against thinking' : 'Accuracy'}</h2>
${comparisons.length > 0 ? ofEach(comparisons, accuracySection) : isGraded ? gradedSection(graded) : nothing('No model was evaluated.')}
${hasThinking ? thinkingSections(data, isGraded) : undefined}
<h2>${hasThinking ? 'Traces' : 'Answers'} before and after</h2>
${comparisons.every(({ traces }) => traces.length === 0) ? nothing(data.browsed.problems.length === 0 ? 'No graded traces in this run.' : 'No two models were compared; every graded trace is below.') : tracesSection(data, hasThinking)}
<section class="samples">
<h2>Every sample</h2>
${data.browsed.problems.length === 0 ? nothing('No graded answers in this run.') : sampleBrowser(data.browsed)}
</section>`;
}

function thinkingSections(data: ReportData, isGraded: boolean): Markup {
  const { comparisons } = data;
  return html`<h2>Waiting</h2>
${comparisons.length > 0 ? ofEach(comparisons, waitsSection) : nothing(isGraded ? 'What waiting did is for eval/compare to measure.' : 'No model was evaluated.')}
<h2>Was forcing active?</h2>
${forcingSection(data)}`;
}

/** A section of each comparison; where there are several, each under the name of its stage. */
function ofEach(comparisons: readonly Compared[], section: (report: ComparisonReport) => Markup): Markup {
  const [only] = comparisons;
  if (only !== undefined && comparisons.length === 1) return section(only.report);
  return html`${comparisons.map(({ stage, report }) => html`<h3 class="comparison">${stage}</h3>${section(report)}`)}`;
}

function drawsOf(comparisons: readonly Compared[]): string {
  const draws = [...new Set(comparisons.map(({ report }) => formatCount(report.draws)))];
  return draws.length === 0 ? '' : ` (${draws.join(' or ')} draws, seeded)`;
}

function nothing(text: string): Markup {
  return html`<p class="soft">${text}</p>`;
}

function forcingSection(data: ReportData): Markup {
  if (data.forcing.length === 0) return nothing('No generations in this run.');
  const acted = data.forcing.reduce((sum, one) => sum + one.ended + one.extended + one.askedAfterEnd, 0);
  return html`<p>${acted === 0 ? 'No: no sample was forced.' : 'Yes. How thinking ended, and how many samples were made to wait:'}</p>
<div class="scroll"><table><thead><tr><th>model</th><th>policy</th><th class="number">samples</th><th class="number">ended by itself</th><th class="number">ended at the maximum</th><th class="number">asked after the sequence's end</th><th class="number">made to wait</th><th class="number">waits</th></tr></thead><tbody>
${data.forcing.map((one) => html`<tr><td>${one.model}</td><td>${one.policy}</td><td class="number">${formatCount(one.samples)}</td><td class="number">${formatCount(one.natural)}</td><td class="number">${formatCount(one.ended)}</td><td class="number">${formatCount(one.askedAfterEnd)}</td><td class="number">${formatCount(one.extended)}</td><td class="number">${formatCount(one.waits)}</td></tr>`)}
</tbody></table></div>`;
}

function tracesSection(data: ReportData, hasThinking: boolean): Markup {
  return html`<p>Chosen by what happened to them, the first by id of each kind.${hasThinking ? html` <mark>Marked</mark> is what budget forcing put there; all else the model wrote.` : undefined}</p>
${data.comparisons.flatMap(({ report, traces }) => traces.map((pair) => tracePair(pair, report)))}`;
}

function funnelTable(data: ReportData): Markup {
  const rules = (dropped: Readonly<Record<string, number>>) =>
    Object.entries(dropped)
      .filter(([, rows]) => rows > 0)
      .map(([rule, rows]) => `${rule}: ${formatCount(rows)}`)
      .join(', ') || 'nothing';
  const hasSteps = data.funnel.some(({ stage, step }) => stage !== step);
  return html`<div class="scroll"><table><thead><tr><th>stage</th>${hasSteps ? html`<th>step</th>` : undefined}<th class="number">rows in</th><th class="number">rows out</th><th>dropped by</th></tr></thead><tbody>
${data.funnel.map((step) => html`<tr><td>${step.stage}</td>${hasSteps ? html`<td>${step.step}</td>` : undefined}<td class="number">${formatCount(step.rowsIn)}</td><td class="number">${formatCount(step.rowsOut)}</td><td class="text">${rules(step.dropped)}</td></tr>`)}
</tbody></table></div>`;
}

function trainingSection(curve: TrainingCurve): Markup {
  const { started, completed } = curve;
  const facts = [
    started &&
      `${formatCounted(started.rows, 'sample')}, ${formatCount(started.tokens)} tokens (${formatCount(started.trainedTokens)} trained, ${formatCounted(started.truncatedRows, 'row')} cut)`,
    started &&
      `${formatCount(started.trainedParameters)} of ${formatCount(started.parameters)} parameters in ${started.precision}`,
    started?.attention !== undefined && `attention by ${started.attention}, kernels by ${started.kernels ?? 'torch'}`,
    completed && `${formatCounted(completed.steps, 'step')} in ${formatDuration(completed.seconds)}`,
    completed?.stoppedEarly && 'stopped early',
    completed?.bestStep !== undefined && `the model is that of step ${formatCount(completed.bestStep)}`,
    completed?.evaluationLoss !== undefined && `its loss on held-out rows ${completed.evaluationLoss.toFixed(3)}`,
    utilizationOf(curve),
    completed && `peak memory ${formatBytes(completed.peakMemoryBytes)}`,
    curve.rerunSteps > 0 && `${formatCounted(curve.rerunSteps, 'step')} ran again after a resume`,
  ].filter((fact) => typeof fact === 'string');
  return html`<figure><h3>${curve.stage}</h3>${curve.steps.length === 0 ? nothing('No step was logged.') : trusted(lossChart(curve))}<figcaption>${facts.join('; ')}. The bold line is a running median; diamonds are checkpoints.</figcaption></figure>`;
}

/** The middle one of all steps: start-up and checkpoints are no part of it. */
function utilizationOf({ steps }: TrainingCurve): string | undefined {
  const known = steps.flatMap(({ modelFlopsUtilization: share }) => (share === undefined ? [] : [share]));
  const middle = known.sort((left, right) => left - right)[Math.floor(known.length / 2)];
  return middle === undefined ? undefined : `${formatShare(middle)} MFU in the median`;
}

function stagesTable(stages: readonly StageTime[]): Markup {
  const madeBy = (stage: StageTime) =>
    stage.state === 'reused' ? `reused${stage.madeBy ? ` from ${stage.madeBy}` : ''}` : 'ran';
  return html`<div class="scroll"><table><thead><tr><th>stage</th><th>uses</th><th class="number">time</th><th class="number">peak memory</th><th class="number">attempts</th><th></th></tr></thead><tbody>
${stages.map((stage) => html`<tr><td>${stage.name}</td><td>${stage.uses}</td><td class="number">${stage.seconds === undefined ? 'unknown' : formatDuration(stage.seconds)}</td><td class="number">${stage.peakMemoryBytes === undefined ? 'unknown' : formatBytes(stage.peakMemoryBytes)}</td><td class="number">${stage.attempts}</td><td class="text">${madeBy(stage)}</td></tr>`)}
</tbody></table></div>`;
}

function incidentsSection(data: ReportData): Markup {
  if (data.incidents.length === 0) return nothing('In one go: no restart, no interruption, no warning.');
  return html`<div class="scroll"><table><tbody>${data.incidents.map((one) => html`<tr><td>${one.time.slice(11, 19)}</td><td class="text">${one.text}</td></tr>`)}</tbody></table></div>`;
}

function metricsTable(data: ReportData): Markup {
  const bounds = (interval: readonly [number, number] | undefined) =>
    interval === undefined ? '' : `${interval[0].toFixed(4)} to ${interval[1].toFixed(4)}`;
  return html`<div class="scroll"><table><thead><tr><th>stage</th><th>metric</th><th class="number">value</th><th class="number">95% interval</th><th class="number">n</th><th>unit</th></tr></thead><tbody>
${Object.values(data.figures).map(({ stage, figure: metric }) => html`<tr><td>${stage}</td><td>${metric.name}</td><td class="number">${metric.value.toFixed(4)}</td><td class="number">${bounds(metric.interval)}</td><td class="number">${metric.count === undefined ? '' : formatCount(metric.count)}</td><td>${metric.unit ?? ''}</td></tr>`)}
</tbody></table></div>`;
}

function versionsTable(data: ReportData): Markup {
  const rows = data.versions.flatMap(({ of, versions }) =>
    Object.entries(versions).map(
      ([name, version]) => html`<tr><td>${of}</td><td>${name}</td><td class="text">${version}</td></tr>`,
    ),
  );
  return html`<div class="scroll"><table><tbody>${rows}</tbody></table></div>`;
}
