import type { Event, EventData } from 'simmerkit';
import { expect, it } from 'vitest';
import { SpendingSoFar, spendingSection } from './spending-section.js';

function spent(data: Omit<EventData['budget.spent'], 'total'>, usd: number): Event<'budget.spent'> {
  const total = { usd, gpuHours: 2, wallClockSeconds: 60 };
  return { runId: 'r', sequence: 1, time: '', type: 'budget.spent', data: { ...data, total } };
}

function section(...events: readonly Event<'budget.spent'>[]): string {
  const spending = new SpendingSoFar();
  spending.add({ runId: 'r', sequence: 1, time: '', type: 'budget.set', data: { usd: 10 } });
  for (const event of events) spending.add(event);
  return spendingSection(spending.result()).text;
}

it('adds up what each was paid, and says the whole of it and the limit', () => {
  const page = section(
    spent({ source: 'trainer student', usd: 1, gpuHours: 1, seconds: 600 }, 1),
    spent({ source: 'teacher', usd: 0.5, gpuHours: 0, inputTokens: 1000, outputTokens: 2000 }, 1.5),
    spent({ source: 'trainer student', usd: 2, gpuHours: 1, seconds: 600 }, 3.5),
  );
  expect(page).toContain('$3.50 of at most $10.00, 2 GPU-hours');
  expect(page).toMatch(/<td>trainer student<\/td><td class="number">\$3\.00<\/td><td class="number">2<\/td>/);
  expect(page).toMatch(/20m 00s/);
  expect(page).toMatch(/<td>teacher<\/td>.*2K/);
  expect(page).not.toContain('at a kill');
});

it('tells apart what nobody saw the end of', () => {
  const page = section(spent({ source: 'teacher', usd: 1, gpuHours: 0 }, 3));
  expect(page).toMatch(/requests under way at a kill<\/td><td class="number">\$2\.00/);
});

it('is left out where nothing was paid for', () => {
  expect(section()).toBe('');
});
