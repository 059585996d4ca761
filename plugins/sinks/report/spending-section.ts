import { type Event, type EventData, formatCompact, formatCount, formatDuration, formatUsd } from 'simmerkit';
import { html, type Markup } from './markup.js';
import type { SpendingData } from './report-data.js';

type Source = SpendingData['sources'][number];

/** Folds what a run's events say of its spending. */
export class SpendingSoFar {
  private limits: EventData['budget.set'] = {};
  private total = { usd: 0, gpuHours: 0 };
  private readonly sources = new Map<string, Source>();

  add(event: Extract<Event, { type: 'budget.set' | 'budget.spent' }>): void {
    if (event.type === 'budget.set') {
      this.limits = event.data;
      return;
    }
    const { source, usd, gpuHours, seconds = 0, inputTokens = 0, outputTokens = 0, total } = event.data;
    this.total = total;
    const before = this.sources.get(source);
    this.sources.set(source, {
      source,
      usd: (before?.usd ?? 0) + usd,
      gpuHours: (before?.gpuHours ?? 0) + gpuHours,
      seconds: (before?.seconds ?? 0) + seconds,
      inputTokens: (before?.inputTokens ?? 0) + inputTokens,
      outputTokens: (before?.outputTokens ?? 0) + outputTokens,
    });
  }

  result(): SpendingData {
    const { usd, gpuHours } = this.total;
    const paid = [...this.sources.values()].filter((each) => each.source !== 'time');
    const told = paid.reduce((sum, each) => sum + each.usd, 0);
    // What was under way at a kill is in the total and in no event of its own.
    const unseen = usd - told > 1e-9 ? [{ ...none, source: 'requests under way at a kill', usd: usd - told }] : [];
    return { sources: [...paid, ...unseen], usd, gpuHours, limits: this.limits };
  }
}

const none: Source = { source: '', usd: 0, gpuHours: 0, seconds: 0, inputTokens: 0, outputTokens: 0 };

/** Empty for a run that nothing was paid for. */
export function spendingSection({ sources, usd, gpuHours, limits }: SpendingData): Markup {
  if (sources.length === 0) return html``;
  const of = limits.usd === undefined ? '' : ` of at most ${formatUsd(limits.usd)}`;
  return html`<h2>Spending</h2>
<p>${formatUsd(usd)}${of}, ${formatCount(gpuHours)} GPU-hours, over all attempts.</p>
<div class="scroll"><table><thead><tr><th>for</th><th class="number">dollars</th><th class="number">GPU-hours</th><th class="number">held</th><th class="number">tokens in</th><th class="number">tokens out</th></tr></thead><tbody>
${sources.map((each) => html`<tr><td>${each.source}</td><td class="number">${formatUsd(each.usd)}</td><td class="number">${formatCount(each.gpuHours)}</td><td class="number">${each.seconds === 0 ? '' : formatDuration(each.seconds)}</td><td class="number">${tokens(each.inputTokens)}</td><td class="number">${tokens(each.outputTokens)}</td></tr>`)}
</tbody></table></div>`;
}

function tokens(count: number): string {
  return count === 0 ? '' : formatCompact(count);
}
