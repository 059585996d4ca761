import { modelClass } from './charts/draw.js';
import type { ComparisonReport } from './comparison-report.js';
import { html, type Markup } from './markup.js';
import type { Trace, TracePair } from './report-data.js';
import { answerPieces, type TracePiece, thinkingPieces, thinkingText } from './trace-pieces.js';

/** One problem, answered twice, side by side. */
export function tracePair(pair: TracePair, report: ComparisonReport): Markup {
  const gold = pair.gold === null ? '' : html` <span class="soft">(${pair.gold})</span>`;
  return html`<div class="trace"><h3>${pair.why}</h3><p class="question">${pair.question}${gold}</p>
<div class="sides">${side(pair.before, report)}${side(pair.after, report)}</div></div>`;
}

function side(trace: Trace, report: ComparisonReport): Markup {
  const verdict = trace.verdict === 'right' ? 'right' : 'wrong';
  const given = trace.extracted === null ? trace.verdict : `${trace.verdict}: ${trace.extracted}`;
  return html`<div class="side ${modelClass(report, trace.model)}"><div class="who">${trace.model}, ${trace.policy}${thinkingText(trace)} <span class="badge ${verdict}">${given}</span></div>
<pre>${marked(thinkingPieces(trace))}</pre><pre>${marked(answerPieces(trace))}</pre></div>`;
}

/** What was put there is marked. */
function marked(pieces: readonly TracePiece[]): Markup {
  return html`${pieces.map(({ text, isForced }) => (isForced ? html`<mark>${text}</mark>` : html`${text}`))}`;
}
