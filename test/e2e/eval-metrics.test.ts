import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;
beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
});
afterAll(() => folder[Symbol.asyncDispose]());

/** AIME24 has 30 problems: the accuracies that the paper prints are rounded k/30. */
const percent = (right: number) => (100 * right) / 30;

/** Tables 12 to 14 of the s1 paper (arXiv 2501.19393), and what its Table 3 prints: control, scaling, performance. */
const published = {
  'token-conditional': [
    [40, -24, 40],
    [
      { thinkingTokens: 7939, accuracy: percent(8), max: 1024 },
      { thinkingTokens: 7158, accuracy: percent(9), max: 2048 },
      { thinkingTokens: 8263, accuracy: percent(10), max: 4096 },
      { thinkingTokens: 7108, accuracy: percent(10), max: 8192 },
      { thinkingTokens: 7500, accuracy: percent(12), max: 16384 },
    ],
  ],
  'token-conditional, forced': [
    [100, 13, 40],
    [
      { thinkingTokens: 1024, accuracy: percent(1), max: 1024 },
      { thinkingTokens: 2048, accuracy: percent(9), max: 2048 },
      { thinkingTokens: 4031, accuracy: percent(10), max: 4096 },
      { thinkingTokens: 5664, accuracy: percent(10), max: 8192 },
      { thinkingTokens: 6330, accuracy: percent(12), max: 16384 },
    ],
  ],
  'step-conditional': [
    [undefined, 3, 36.7],
    [7252, 6277, 5396, 5552, 7551].map((thinkingTokens, index) => ({
      thinkingTokens,
      accuracy: percent([10, 7, 10, 11, 10][index]!),
    })),
  ],
  'step-conditional, forced': [
    [100, 6, 36.7],
    [1517, 2963, 4636, 5409, 7551].map((thinkingTokens, index) => ({
      thinkingTokens,
      accuracy: percent([7, 7, 10, 11, 10][index]!),
      max: 1600 * 2 ** index,
    })),
  ],
  'class-conditional': [
    [50, 25, 36.7],
    [
      { thinkingTokens: 8033, accuracy: percent(9), max: 6109 },
      { thinkingTokens: 9651, accuracy: percent(11), min: 6109 },
    ],
  ],
} as const;

describe('simmer eval metrics', () => {
  it.each(Object.entries(published))("gives the paper's figures: %s", async (_, [[control, scaling, best], runs]) => {
    await folder.write('runs.json', JSON.stringify(runs));
    const { code, stdout } = await simmer(['eval', 'metrics', 'runs.json', '--json'], { cwd });
    expect(code).toBe(0);
    const measured = JSON.parse(stdout);
    expect(measured.control).toBe(control ?? null);
    expect('control' in measured.notDerivable).toBe(control === undefined);
    expect(Math.round(measured.scalingLog2)).toBe(scaling);
    expect(measured.performance).toBeCloseTo(best, 1);
  });

  it('takes CSV and shares, holds `controlled` against the limits, and prints a table for people', async () => {
    await folder.write('runs.csv', 'thinkingTokens,accuracy,controlled,min,max\n1000,0.25,10,,16\n4000,0.75,40,,32\n');
    const { stdout } = await simmer(['eval', 'metrics', 'runs.csv', '--json'], { cwd });
    const expected = { control: 50, scalingLog2: 25, performance: 75, runs: 2, accuracyUnit: 'share' };
    expect(JSON.parse(stdout)).toMatchObject(expected);
    expect(JSON.parse(stdout).scalingRaw).toBeCloseTo(50 / 3000, 12);
    const { stdout: table } = await simmer(['eval', 'metrics', 'runs.csv'], { cwd });
    expect(table).toMatch(/control +50\.0% +of 2 runs keep their limits/);
    expect(table).toMatch(/scaling, log2 +25\.0 /);
  });

  it.each([
    ['runs.json', '[{"thinkingTokens": 1, "acuracy": 2}]', 'runs.json:1:24', 'accuracy'],
    ['runs.json', '[]', 'runs.json:1:1', ''],
    ['runs.json', '[{"thinkingTokens": "x", "accuracy": 2}]', 'runs.json:1:21', 'thinkingTokens'],
    ['runs.csv', 'thinkingTokens,accuracy\n100,20\n200,abc\n', 'runs.csv:3:1', 'accuracy'],
    ['runs.csv', 'thinkingTokens,accuracy\n100,20,7\n', 'runs.csv:2:1', 'not CSV'],
    ['nowhere.json', undefined, 'There is no table nowhere.json', ''],
  ])('refuses %s with %s, and says where', async (name, text, place, key) => {
    if (text !== undefined) await folder.write(name, text);
    const { code, stdout, stderr } = await simmer(['eval', 'metrics', name], { cwd });
    expect(stderr).toContain(place);
    expect(stderr).toContain(key);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});
