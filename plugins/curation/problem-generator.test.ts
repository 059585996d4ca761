import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { generateProblems as stage } from './generate-problems.stage.js';
import { type GeneratorOptions, generateProblems } from './problem-generator.js';
import { problemId } from './problem-id.js';

const defaults: GeneratorOptions = {
  seed: 7,
  count: 500,
  steps: { 2: 1, 5: 1, 8: 2 },
  start: { min: 10, max: 30 },
  change: { min: 2, max: 9 },
  largest: 99,
  factorShare: 0.2,
  checks: { share: 0, twiceShare: 0, slipShare: 0, word: 'Wait' },
};

/** Works a question out from its words alone. */
function answerOf(question: string): number {
  const [opening = '', ...sentences] = question.split('. ');
  let number = Number(/\d+/.exec(opening)?.[0]);
  const gains = /finds|wins|buys|bakes|makes|receives|raises|rescues|adds|plants|grows|loads|takes on|picks up/;
  for (const sentence of sentences.filter((one) => !one.includes('?'))) {
    const change = Number(/\d+/.exec(sentence)?.[0]);
    if (sentence.includes('doubles')) number *= 2;
    else if (sentence.includes('halves')) number /= 2;
    else if (gains.test(sentence.replace('unloads', 'drops'))) number += change;
    else number -= change;
  }
  return number;
}

describe('generated problems', () => {
  it('have the answer that their words and their traces lead to', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 20, max: 999 }), (seed, largest) => {
        for (const { question, reasoning, answer, steps } of generateProblems({
          ...defaults,
          seed,
          largest,
          count: 20,
        })) {
          expect(answerOf(question)).toBe(Number(answer));
          const [start = '', ...lines] = reasoning.split('\n');
          expect(lines).toHaveLength(steps);
          let number = Number(start.replace('Start: ', ''));
          for (const line of lines) {
            const [, left, sign, right, result] = /: (\d+) ([-+*/]) (\d+) = (\d+)$/.exec(line) ?? [];
            expect(Number(left)).toBe(number);
            const [a, b] = [Number(left), Number(right)];
            number = sign === '+' ? a + b : sign === '-' ? a - b : sign === '*' ? a * b : a / b;
            expect(Number(result)).toBe(number);
            expect(Number.isInteger(number) && number >= 2).toBe(true);
          }
          expect(String(number)).toBe(answer);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('are all different, and the same for the same seed', () => {
    const problems = [...generateProblems(defaults)];
    expect(new Set(problems.map((problem) => problem.question)).size).toBe(500);
    expect([...generateProblems(defaults)]).toEqual(problems);
    expect([...generateProblems({ ...defaults, seed: 8 })][0]).not.toEqual(problems[0]);
  });

  it('have steps as frequent as asked', () => {
    const problems = [...generateProblems({ ...defaults, count: 4000 })];
    const share = (steps: number) => problems.filter((problem) => problem.steps === steps).length / problems.length;
    expect(share(8)).toBeCloseTo(0.5, 1);
    expect(share(2)).toBeCloseTo(0.25, 1);
    expect(share(3)).toBe(0);
  });

  it('check their last step as often as asked, and leave the questions as they are', () => {
    const plain = [...generateProblems(defaults)];
    const checks = { share: 0.5, twiceShare: 0.5, slipShare: 0.5, word: 'Wait' };
    const checked = [...generateProblems({ ...defaults, checks })];
    expect(checked.map((problem) => problem.question)).toEqual(plain.map((problem) => problem.question));
    const checksIn = (reasoning: string) =>
      reasoning.split('\n').filter((line) => line.startsWith('Wait, check the last step: '));
    const share = (count: number) =>
      checked.filter(({ reasoning }) => checksIn(reasoning).length === count).length / 500;
    expect(share(1)).toBeCloseTo(0.25, 1);
    expect(share(2)).toBeCloseTo(0.25, 1);
    let slips = 0;
    for (const [index, { reasoning, answer }] of checked.entries()) {
      const lines = reasoning.split('\n').filter((line) => !line.startsWith('Wait'));
      const isSlip = lines.join('\n') !== plain[index]?.reasoning;
      if (isSlip) slips++;
      expect(lines.slice(0, -1).join('\n')).toBe(plain[index]?.reasoning.split('\n').slice(0, -1).join('\n'));
      for (const check of checksIn(reasoning)) expect(check).toMatch(new RegExp(` = ${answer}$`));
    }
    expect(slips / 500).toBeCloseTo(0.25, 1);
  });

  it('name the options when they hold too few', () => {
    const narrow = {
      ...defaults,
      steps: { 1: 1 },
      start: { min: 10, max: 10 },
      change: { min: 2, max: 2 },
      count: 1e6,
    };
    expect(() => [...generateProblems(narrow)]).toThrow(expect.objectContaining({ code: 'too_few_problems' }));
  });
});

it('curation/generate-problems writes problems with ids and begins the funnel', async () => {
  const result = await runStage(stage, { options: { count: 30 }, seed: 3 });
  const rows = result.rows('dataset');
  expect(rows).toHaveLength(30);
  expect(rows[0]?.id).toBe(problemId(String(rows[0]?.question)));
  expect(Object.keys(rows[0] ?? {})).toEqual(['id', 'question', 'reasoning', 'answer', 'domain', 'source', 'steps']);
  expect(result.events).toContainEqual({
    type: 'funnel.counted',
    data: { step: 'stage', rowsIn: 30, rowsOut: 30, dropped: {} },
  });
});
