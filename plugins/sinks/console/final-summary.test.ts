import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { finalSummary } from './final-summary.js';
import { Story } from './story.fixture.js';

function summary(story: Story, { columns = 120, links = false, command = 'simmer' } = {}): readonly string[] {
  return finalSummary(story.state, { now: story.now, columns, colors: picocolors.createColors(links), links, command });
}

function scored(): Story {
  const story = new Story([['scores', 'eval/grade']]).begin().start('scores').wait(252);
  for (const [model, shift] of [
    ['untuned', 0],
    ['tuned', 0.4],
  ] as const) {
    story.accuracy(model, 256, 0.1 + shift).accuracy(model, 32, 0.05 + shift);
  }
  story.tell('metric.measured', {
    name: 'tuned-untuned.accuracy@256',
    value: 0.4,
    interval: [0.33, 0.47],
    unit: 'share',
    labels: {
      kind: 'model',
      model: 'tuned',
      policy: '256',
      fromModel: 'untuned',
      fromPolicy: '256',
      wrongToRight: 84,
      rightToWrong: 4,
    },
  });
  story.complete('scores', 250, 'eval/grade');
  return story.tell('run.completed', {
    runId: 'quickstart-1',
    reportPath: '/home/u/a b/report.html',
    metrics: {},
    outputs: {},
    seconds: 252,
  });
}

describe('the summary at the end', () => {
  it('has the accuracies with their intervals, what changed, and where the report is', () => {
    expect(summary(scored())).toEqual([
      '',
      'accuracy on 200 problems, thinking at most            untuned               tuned',
      '32 tokens                                    5.0% [0.0, 10.0]  45.0% [40.0, 50.0]',
      '256 tokens                                  10.0% [5.0, 15.0]  50.0% [45.0, 55.0]',
      '',
      'difference                                95% interval',
      'tuned over untuned, @256  +40.0 points  [+33.0, +47.0]  84 wrong → right, 4 right → wrong',
      '',
      '✔ quickstart done in 4m 12s: 1 stage',
      '  run     quickstart-1',
      '  report  /home/u/a b/report.html',
    ]);
  });

  it('says of how many problems each accuracy is, where one label has answered several sets', () => {
    const story = new Story([['scores', 'eval/grade']]).begin().start('scores').accuracy('tuned', 32, 0.5);
    story.tell('metric.measured', {
      name: 'tuned.accuracy@none',
      value: 0.25,
      interval: [0, 0.5],
      unit: 'share',
      count: 4,
      labels: { model: 'tuned', policy: 'none', method: 'none', ignore: 0, word: '' },
    });
    story.complete('scores', 1, 'eval/grade');
    story.tell('run.completed', { runId: 'one', reportPath: null, metrics: {}, outputs: {}, seconds: 1 });
    const [, head, ...rows] = summary(story);
    expect(head).toMatch(/^accuracy, thinking at most +tuned$/);
    expect(rows.slice(0, 2)).toEqual([
      expect.stringMatching(/^32 tokens, 200 problems +50\.0%/),
      expect.stringMatching(/^no thinking, 4 problems +25\.0%/),
    ]);
  });

  it('says of how many problems each column is, where several stages scored a model under one policy', () => {
    const story = new Story([
      ['easy', 'eval/grade'],
      ['hard', 'eval/grade'],
    ]).begin();
    for (const [stage, count] of Object.entries({ easy: 200, hard: 30 }))
      story.tell(
        'metric.measured',
        {
          name: 'tuned.accuracy@none',
          value: 0.25,
          unit: 'share',
          count,
          labels: { model: 'tuned', policy: 'none', method: 'none', ignore: 0, word: '' },
        },
        stage,
      );
    story.tell('run.completed', { runId: 'one', reportPath: null, metrics: {}, outputs: {}, seconds: 1 });
    const [, head, row] = summary(story);
    // Of thinking nothing is said where no model thinks.
    expect(head).toMatch(/^accuracy +tuned \(easy\), 200 problems +tuned \(hard\), 30 problems$/);
    expect(row).toMatch(/^no thinking +25\.0% +25\.0%$/);
  });

  it('leaves columns out rather than break lines of a narrow terminal', () => {
    for (const line of summary(scored(), { columns: 64 })) expect(line.length).toBeLessThan(64);
  });

  it('links the report where the terminal can', () => {
    expect(summary(scored(), { links: true }).join('\n')).toContain('file:///home/u/a%20b/report.html');
  });

  it('says how to go on after a stop', () => {
    const story = new Story().begin().wait(3).tell('run.interrupted', { reason: 'Ctrl-C' });
    expect(summary(story).join('\n')).toContain('stopped after 3.0s (Ctrl-C)');
    expect(summary(story).join('\n')).toContain('go on with: simmer resume quickstart-1');
    expect(summary(story, { command: 'simmer --home x' }).join('\n')).toContain('simmer --home x resume quickstart-1');
  });

  it('says what was spent, and leaves it to the error to say how to go on with more', () => {
    const story = new Story().begin().tell('budget.set', { usd: 5 }).wait(3);
    const total = { usd: 4.9, gpuHours: 0, wallClockSeconds: 3 };
    story.tell('budget.spent', { source: 'teacher', usd: 4.9, gpuHours: 0, total });
    const error = { code: 'budget_reached', kind: 'budget', message: 'no', hint: 'more' } as const;
    story.tell('run.interrupted', { reason: 'the budget is used up', error });
    expect(summary(story).join('\n')).toContain('stopped after 3.0s (the budget is used up)');
    expect(summary(story).join('\n')).toContain('spent   $4.90 of $5.00');
    expect(summary(story).join('\n')).not.toContain('go on with: simmer resume');
  });

  it('breaks no word of a narrow terminal', () => {
    const story = new Story().begin().wait(3);
    story.tell('run.failed', { error: { code: 'x', message: 'no' }, stage: 'tuned' });
    const [, first, second] = summary(story, { columns: 64 });
    expect([first, second]).toEqual([
      '✖ quickstart failed after 3.0s in stage tuned. Finished stages',
      '  and checkpoints are kept.',
    ]);
  });

  it('says where it failed, and that what is mended in the recipe needs another run', () => {
    const story = new Story().begin().wait(3);
    story.tell('run.failed', { error: { code: 'x', message: 'no' }, stage: 'tuned' });
    expect(summary(story).join('\n')).toContain('failed after 3.0s in stage tuned');
    expect(summary(story).slice(-2)).toEqual([
      '  once mended in the recipe:  simmer run again, which does nothing twice',
      '  once mended elsewhere:      simmer resume quickstart-1',
    ]);
  });

  it('says that everything came from the cache', () => {
    const story = new Story([['scores', 'eval/grade']]).begin();
    story.tell('stage.reused', { uses: 'eval/grade', key: 'k', outputs: {} }, 'scores');
    story.tell('run.completed', { runId: 'r', reportPath: null, metrics: {}, outputs: {}, seconds: 1 });
    expect(summary(story).join('\n')).toContain('1 stage, all from the cache');
  });
});
