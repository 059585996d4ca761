import { describe, expect, it } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { compare } from './compare.stage.js';
import type { ComparisonReport } from './comparison.js';
import { type Given, generations, grader, metrics, problems, right } from './grade.fixture.js';
import { grade } from './grade.stage.js';

describe('eval/compare', () => {
  const graded = async (model: string, given: readonly Given[]) => {
    const inputs = { generations: generations(model, given), dataset: problems(100) };
    const { outputs } = await runStage(grade, { inputs, grader });
    return outputs.graded!;
  };

  it('measures what tuning, a larger maximum and waiting did', async () => {
    const untuned = await graded('untuned', [
      { policy: '64', maximum: 64, tokens: 64, answers: right(2, 100) },
      { policy: '256', maximum: 256, tokens: 200, answers: right(4, 100) },
    ]);
    const tuned = await graded('tuned', [
      { policy: '256', maximum: 256, tokens: 128, answers: right(80, 100) },
      { policy: '64', maximum: 64, tokens: 64, answers: right(40, 100) },
      { policy: '256+1xWait', maximum: 256, ignore: 1, tokens: 200, answers: right(75, 100) },
    ]);
    const result = await runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } });
    const report = (result.outputs.report as unknown as { content: ComparisonReport }).content;
    expect(report.models).toEqual({ untuned: ['untuned'], tuned: ['tuned'] });
    expect(report.runs.map(({ model, policy, accuracy }) => [model, policy, accuracy])).toEqual([
      ['untuned', '64', 0.02],
      ['untuned', '256', 0.04],
      ['tuned', '64', 0.4],
      ['tuned', '256', 0.8],
      ['tuned', '256+1xWait', 0.75],
    ]);
    const differences = new Map(report.differences.map((one) => [one.name, one]));
    expect([...differences.keys()]).toEqual([
      'tuned-untuned.accuracy@64',
      'tuned-untuned.accuracy@256',
      'untuned.accuracy@256-accuracy@64',
      'tuned.accuracy@256-accuracy@64',
      'tuned.accuracy@256+1xWait-accuracy@256',
    ]);
    const waiting = differences.get('tuned.accuracy@256+1xWait-accuracy@256')!;
    expect(waiting).toMatchObject({ kind: 'waits', rightToWrong: 5, wrongToRight: 0, problems: 100 });
    expect(waiting.difference).toBeCloseTo(-0.05, 12);
    expect(waiting.interval[0]).toBeLessThan(-0.05);
    expect(differences.get('tuned-untuned.accuracy@256')!.interval[0]).toBeGreaterThan(0.65);
    const maxima = report.scaling.find((one) => one.model === 'tuned' && one.series === 'maxima')!;
    expect(maxima).toMatchObject({ runs: 2, control: 1, performance: 0.8 });
    expect(maxima.scalingPerDoubling).toBeCloseTo(40, 9);
    const measured = metrics(result.events);
    expect(measured.get('tuned.accuracy@256-accuracy@64')?.value).toBeCloseTo(0.4, 12);
    expect(measured.get('tuned.scaling-log2.maxima')?.value).toBeCloseTo(40, 9);
  });

  it('pairs by problem, so a constant gain has little spread, and proves no more than 100 problems can', async () => {
    const untuned = await graded('untuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(0, 100) }]);
    const tuned = await graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(100, 100) }]);
    const { events } = await runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } });
    const gain = metrics(events).get('tuned-untuned.accuracy@64')!;
    expect(gain).toMatchObject({ value: 1, interval: [expect.closeTo(0.926, 3), 1] });
  });

  it('refuses to pair runs over other problems', async () => {
    const tuned = await graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }]);
    const untuned = await graded('untuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 50) }]);
    await expect(runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } })).rejects.toMatchObject({
      code: 'problems_differ',
    });
  });

  it('refuses two models of one name', async () => {
    const table = await graded('model', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }]);
    await expect(runStage(compare, { inputs: { untuned: [table], tuned: [table] } })).rejects.toMatchObject({
      code: 'label_not_unique',
    });
  });

  it('compares several tuned models with one that is not, each with itself, too', async () => {
    const answersOf = (label: string, answers: number) =>
      graded(
        label,
        [64, 128].map((maximum) => ({
          policy: `${maximum}`,
          maximum,
          tokens: maximum,
          answers: right(answers + (maximum > 64 ? 10 : 0), 100),
        })),
      );
    const [base, full, lora] = await Promise.all([answersOf('base', 5), answersOf('full', 40), answersOf('lora', 30)]);
    const { events, outputs } = await runStage(compare, { inputs: { untuned: [base], tuned: [full, lora] } });
    const { models, runs } = (outputs.report as unknown as { content: ComparisonReport }).content;
    expect(models).toEqual({ untuned: ['base'], tuned: ['full', 'lora'] });
    expect(runs.map(({ model }) => model)).toEqual(['base', 'base', 'full', 'full', 'lora', 'lora']);
    const measured = metrics(events);
    const differences = [...measured].filter(([, { labels }]) => labels?.kind !== undefined);
    expect(differences.map(([name, { value }]) => [name, value])).toEqual([
      ['full-base.accuracy@64', expect.closeTo(0.35, 9)],
      ['full-base.accuracy@128', expect.closeTo(0.35, 9)],
      ['lora-base.accuracy@64', expect.closeTo(0.25, 9)],
      ['lora-base.accuracy@128', expect.closeTo(0.25, 9)],
      ['base.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
      ['full.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
      ['lora.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
    ]);
    expect(measured.has('lora.scaling-log2.maxima')).toBe(true);
  });

  it('says so where the answers were not graded alike', async () => {
    const given = [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }];
    const gradedBy = async (label: string, options: Readonly<Record<string, unknown>>) => {
      const inputs = { generations: generations(label, given), dataset: problems(100) };
      return (await runStage(grade, { inputs, options, grader })).outputs.graded!;
    };
    const [before, alike, whole] = [
      await gradedBy('before', {}),
      await gradedBy('after', {}),
      await gradedBy('after', { extraction: 'whole' }),
    ];
    const same = await runStage(compare, { inputs: { untuned: [before], tuned: [alike] } });
    expect(same.logged).toEqual([]);
    const { logged } = await runStage(compare, { inputs: { untuned: [before], tuned: [whole] } });
    expect(logged).toEqual([
      {
        level: 'warning',
        message: expect.stringContaining('eval/exact, extraction "s1"; eval/exact, extraction "whole"'),
      },
    ]);
  });

  it('says so where the two sides of a difference were not asked in the same words', async () => {
    const askedOf = (label: string, asked?: string) => {
      const given = { policy: '64', maximum: 64, tokens: 64, answers: right(5, 9) };
      return graded(label, [asked === undefined ? given : { ...given, asked }]);
    };
    const before = await askedOf('before', 'What is ');
    const warnings = async (asked?: string) =>
      (await runStage(compare, { inputs: { untuned: [before], tuned: [await askedOf('after', asked)] } })).logged;
    expect(await warnings('What is ')).toEqual([]);
    expect(await warnings()).toEqual([]);
    expect(await warnings('Think. What is ')).toEqual([
      {
        level: 'warning',
        message: expect.stringContaining('The two sides of after-before.accuracy@64 were asked in different words'),
      },
    ]);
  });

  it('says so where a second model has the label of the first, and is left out', async () => {
    const answersOf = (answers: number) =>
      graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(answers, 100) }]);
    const [first, again, other] = await Promise.all([answersOf(40), answersOf(40), answersOf(50)]);
    const same = await runStage(compare, { inputs: { tuned: [first, again] } });
    expect(same.logged).toEqual([]);
    const { logged } = await runStage(compare, { inputs: { tuned: [first, other] } });
    expect(logged).toEqual([{ level: 'warning', message: expect.stringContaining('other answers of tuned at 64') }]);
  });
});
