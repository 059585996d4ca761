import type { ComparisonReport } from './comparison-report.js';
import { html, type Markup } from './markup.js';
import type { Trace, TracePair } from './report-data.js';

/** One problem, answered twice, side by side. */
export function tracePair(pair: TracePair, report: ComparisonReport | undefined): Markup {
  return html`<div class="trace"><h3>${pair.why}</h3><p class="question">${pair.question} <span class="soft">(${pair.gold})</span></p>
<div class="sides">${side(pair.before, report)}${side(pair.after, report)}</div></div>`;
}

function side(trace: Trace, report: ComparisonReport | undefined): Markup {
  const role = trace.model === report?.models.untuned ? 'untuned' : 'tuned';
  const verdict = trace.verdict === 'right' ? 'right' : 'wrong';
  const given = trace.extracted === null ? trace.verdict : `${trace.verdict}: ${trace.extracted}`;
  return html`<div class="side" style="--color:var(--${role})"><div class="who">${trace.model}, ${trace.policy}, ${trace.thinkingTokens} thinking tokens <span class="badge ${verdict}">${given}</span></div>
<pre>${markedThinking(trace)}</pre><pre>${markedAnswer(trace)}</pre></div>`;
}

/** The thinking with each word that was put there marked where it stands. */
export function markedThinking(trace: Trace): Markup {
  const characters = [...trace.thinking];
  const pieces: Markup[] = [];
  let position = 0;
  for (const intervention of trace.interventions.filter((one) => one.kind === 'extended')) {
    const start = Math.min(characters.length, Math.max(position, intervention.characterOffset));
    const end = Math.min(characters.length, start + [...intervention.text].length);
    pieces.push(
      html`${characters.slice(position, start).join('')}<mark>${characters.slice(start, end).join('')}</mark>`,
    );
    position = end;
  }
  return html`${pieces}${characters.slice(position).join('')}`;
}

/** The answer; where thinking was forced to end, what was appended is marked. */
export function markedAnswer(trace: Trace): Markup {
  const ended = trace.interventions.find((one) => one.kind === 'ended');
  if (ended === undefined) return html`${trace.answer}`;
  const shared = sharedLength(ended.text, trace.answer);
  const marker = ended.text.slice(0, ended.text.length - shared).trim();
  return html`<mark>${marker}</mark>\n<mark>${trace.answer.slice(0, shared)}</mark>${trace.answer.slice(shared)}`;
}

/** Length of the longest end of `forced` that `answer` starts with: the final answer prompt is part of both. */
function sharedLength(forced: string, answer: string): number {
  for (let length = Math.min(forced.length, answer.length); length > 0; length--) {
    if (forced.endsWith(answer.slice(0, length))) return length;
  }
  return 0;
}
