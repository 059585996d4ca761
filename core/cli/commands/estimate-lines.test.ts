import colors from 'picocolors';
import { describe, expect, it } from 'vitest';
import type { StageForecast } from '../../engine/estimate-plan.js';
import { estimateLines } from './estimate-lines.js';

const plain = colors.createColors(false);
const linesOf = (...forecasts: readonly Omit<StageForecast, 'isDone'>[]) =>
  estimateLines(
    forecasts.map((forecast) => ({ isDone: false, ...forecast })),
    { usd: 5 },
    { colors: plain },
  );
const trained = { stage: 'tuned', seconds: 3600, usd: 2, gpuHours: 8, isAtMost: true };
const served = { stage: 'hard', usd: 4, isAtMost: true, figures: { requests: 12 } };
const unsaid = { stage: 'loaf', notes: ['its plugin does not say.'] };

describe('the total of a plan', () => {
  const totalOf = (...forecasts: readonly Omit<StageForecast, 'isDone'>[]) =>
    linesOf(...forecasts).find((line) => line.includes('in all'));

  it('is at most what it says where all of it is known', () => {
    expect(totalOf(trained)).toBe('  in all at most $2.00; at most 1h 00m one after the other, 8 GPU-hours');
  });

  it('is at most so many dollars, and no longest time, where servers are asked', () => {
    expect(totalOf(trained, served)).toBe(
      '  in all at most $6.00; 1h 00m one after the other, 8 GPU-hours, without 1 stage of unknown time',
    );
    expect(totalOf(served)).toBe('  in all at most $4.00; how long is not known');
    expect(linesOf(trained, served).join('\n')).toContain('The budget (usd: 5) may end it before');
  });

  it('says nothing of a most where a stage is left out, and which that is', () => {
    const lines = linesOf(trained, unsaid).join('\n');
    expect(lines).toContain('in all $2.00, without 1 stage of unknown cost; 1h 00m one after the other');
    expect(lines).toContain('no estimate of loaf: its plugin does not say.');
    expect(lines).not.toContain('in all at most');
  });
});

it('shows what a server is asked, and where time goes', () => {
  const time = [
    { part: 'start', seconds: 60 },
    { part: 'steps', seconds: 3540 },
  ];
  const lines = linesOf({ ...trained, time }, { ...served, stage: 'free', figures: { requestsAtOnce: 16 } });
  expect(lines).toContain('  tuned: start 1m 00s, steps 59m 00s');
  expect(lines).toContain('  free: requests at once 16');
});

it('says once what holds for several stages', () => {
  const notes = ['The server has its own speed.'];
  const lines = linesOf(
    { ...served, notes },
    { ...served, stage: 'domains', notes },
    { ...trained, notes: ['Padded.'] },
  );
  expect(lines).toContain('  hard, domains: The server has its own speed.');
  expect(lines).toContain('  tuned: Padded.');
});

it('says figures once that several stages have', () => {
  const lines = linesOf(
    served,
    { ...served, stage: 'domains' },
    { ...served, stage: 'other', figures: { requests: 9 } },
  );
  expect(lines.filter((line) => line.includes('requests'))).toEqual([
    '  hard, domains: requests 12',
    '  other: requests 9',
  ]);
});

it('counts stages whose names would hide what is said of them, but not those that have no estimate', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const lines = linesOf(
    ...names.map((stage) => ({ ...served, stage })),
    ...names.map((name) => ({ ...unsaid, stage: `no-${name}` })),
  );
  expect(lines).toContain('  a, b, c, d, e and 2 more: requests 12');
  expect(lines).toContain(`  no estimate of ${names.map((name) => `no-${name}`).join(', ')}: its plugin does not say.`);
});

it('says what to change where something does not fit, and when another GPU or a server does', () => {
  const lines = linesOf({
    stage: 'answers',
    fits: false,
    memory: [{ part: 'weights', bytes: 141e9 }],
    memoryBytes: 80e9,
    advice: [
      { change: 'maxBatchSize: 1', bytes: 141e9 },
      { change: 'hardware: h200-sxm', bytes: 141e9, memoryBytes: 141e9 },
      { change: 'hardware: b200-sxm', bytes: 141e9, memoryBytes: 180e9 },
      { change: 'an OpenAI-compatible server', bytes: 0 },
    ],
  });
  expect(lines.filter((line) => line.startsWith('    ')).map((line) => line.trim().replace(/ {2,}/, ' '))).toEqual([
    'hardware: h200-sxm has 141 GB: 141 GB, not enough alone',
    'hardware: b200-sxm has 180 GB: 141 GB, fits then',
    'an OpenAI-compatible server saves 141 GB: none is needed, fits then',
  ]);
});

it('is no wider than the terminal', () => {
  const notes = ['How long it takes depends on the server at http://localhost:8001/v1.'];
  const forecasts = [
    { ...trained, isDone: false, notes },
    { ...served, isDone: false, figures: { requests: 103_162, requestsAtOnce: 512, inputTokens: 52_818_944 } },
    { ...unsaid, isDone: false, notes: [`For GPUs, name \`gpus\` and \`hardware\` in the trainer's resources.`] },
  ];
  const lines = estimateLines(forecasts, { usd: 5 }, { colors: plain, width: 60 });
  expect(lines.filter((line) => line.length > 60)).toEqual([]);
  expect(lines.map((line) => line.trim()).join(' ')).toContain('depends on the server at http://localhost:8001/v1.');
});
