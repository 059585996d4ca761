import fc from 'fast-check';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { liveView } from './live-view.js';
import { Story } from './story.fixture.js';
import { widthOf } from './terminal-text.js';

const colors = picocolors.createColors(false);

function drawn(story: Story, size: { columns?: number; rows?: number; stopping?: string } = {}): string {
  return liveView(story.state, { now: story.now, columns: 100, rows: 40, colors, ...size }).join('\n');
}

function training(): Story {
  const story = new Story([
    ['base', 'torch-trainer/base-model'],
    ['pool', 'curation/generate-problems'],
    ['clean', 'curation/quality'],
    ['tuned', 'sft/train'],
    ['answers', 'budget-forcing/generate'],
    ['scores', 'eval/grade'],
  ]).begin();
  story.tell('stage.reused', { uses: 'torch-trainer/base-model', key: 'k', outputs: {} }, 'base');
  story.start('pool', 'curation/generate-problems').complete('pool', 1.2, 'curation/generate-problems');
  story.start('clean').tell('funnel.counted', { step: 'clean', rowsIn: 1000, rowsOut: 873, dropped: {} }, 'clean');
  story.complete('clean', 0.4).start('tuned', 'sft/train').train().wait(60);
  for (let step = 1; step <= 20; step++) story.wait(2).step(step, 3 - step / 10);
  return story.tell('checkpoint.saved', { trainerEvent: 99, step: 20, path: '/c', bytes: 1e9 }, 'tuned');
}

describe('the live view', () => {
  it('shows every stage with its state', () => {
    const view = drawn(training());
    expect(view).toMatch(/↺ base .*from the cache/);
    expect(view).toMatch(/✔ pool .* 1\.2s/);
    expect(view).toMatch(/✔ clean .*1,000 → 873 rows .*0\.4s/);
    expect(view).toMatch(/○ answers/);
  });

  it('counts the packages of an environment while they are installed, and no longer', () => {
    const story = new Story([['base', 'torch-trainer/base-model']]).begin().start('base', 'torch-trainer/base-model');
    story.tell('stage.progressed', { done: 66, total: 66, unit: 'packages' }, 'base');
    expect(drawn(story)).toMatch(/66\/66 packages/);
    story.tell('environment.prepared', { name: 'torch', path: '/e', reused: false, seconds: 60, versions: {} }, 'base');
    expect(drawn(story)).not.toContain('packages');
    expect(drawn(story.complete('base', 90))).toMatch(/✔ base +1m 30s/);
  });

  it('says what the first step waits for, and no longer', () => {
    const story = new Story([['tuned', 'sft/train']]).begin().start('tuned', 'sft/train');
    story.tell('log.written', { level: 'info', source: 'trainer', message: 'It loads the model.' }, 'tuned');
    expect(drawn(story)).toMatch(/tuned .*It loads the model\./);
    expect(drawn(story.train())).not.toContain('It loads');
  });

  it('shows step, loss, speed, time left and the curve of the loss while it trains', () => {
    const view = drawn(training());
    expect(view).toContain('20/100 steps · 2m 40s left');
    expect(view).toContain('loss 1.000 · 418 tokens/s');
    expect(view).toContain('checkpoint at 20');
    expect(view).toMatch(/█▇+.*▁/);
  });

  it('shows what is spent and what may be', () => {
    const story = training().tell('budget.set', { usd: 5 });
    const total = { usd: 1.2, gpuHours: 0.4, wallClockSeconds: 60 };
    story.tell('budget.spent', { source: 'trainer student', usd: 1.2, gpuHours: 0.4, total });
    expect(drawn(story)).toContain('$1.20 of $5.00, 0.4 GPU-hours');
  });

  it('shows the figures of a stage that generates', () => {
    const story = new Story().begin().start('answers', 'budget-forcing/generate');
    story.tell(
      'stage.progressed',
      {
        done: 300,
        total: 1200,
        unit: 'samples',
        secondsLeft: 90,
        figures: {
          tokensPerSecond: 210,
          thinkingTokensPerSample: 127.4,
          samples: 300,
          waits: 0,
          accuracy: 0.61,
          accuracyLow: 0.553,
          accuracyHigh: 0.6648,
        },
      },
      'answers',
    );
    expect(drawn(story)).toContain('300/1,200 samples · 1m 30s left');
    expect(drawn(story)).toContain(
      '210 tokens/s · 127 thinking tokens per sample · accuracy 61.0% (95%: 55.3% to 66.5%)',
    );
  });

  it('shows how fast a paid stage is and what it has cost', () => {
    const story = new Story().begin().start('traces', 'curation/distill');
    const progress = { done: 3, total: 10, unit: 'questions', perSecond: 0.4 };
    story.tell('stage.progressed', { ...progress, figures: { outputTokens: 9000, dollars: 0.0197 } }, 'traces');
    expect(drawn(story)).toContain('24 questions/min · 9,000 output tokens · $0.02');
  });

  it('shows accuracies as they come, thinking longer below', () => {
    const story = training().accuracy('untuned', 128, 0.03).accuracy('tuned', 128, 0.61);
    story.accuracy('tuned', 256, 0.66, 1).accuracy('tuned', 32, 0.285);
    const rows = drawn(story)
      .split('\n')
      .filter((line) => line.includes(' tokens  ') || line.includes('Wait'));
    expect(rows.map((row) => row.replace(/[━\s]+/g, ' ').trim())).toEqual([
      '32 tokens · 28.5%',
      '128 tokens 3.0% 61.0%',
      '256 tokens, 1 x Wait · 66.0%',
    ]);
  });

  it('says that it is being stopped, and why', () => {
    expect(drawn(training(), { stopping: 'Ctrl-C' })).toContain('Ctrl-C: stopping');
  });

  it('takes stages that are done together where the terminal is low', () => {
    const view = drawn(training(), { rows: 12 });
    expect(view).toContain('✔ 3 stages done, 1 from the cache');
    expect(view).toContain('20/100 steps');
    expect(view).not.toContain('✔ pool');
  });

  it('shows what runs even where there is room for hardly anything', () => {
    expect(drawn(training(), { rows: 8, columns: 40 })).toContain('tuned');
  });

  it('lets no text of others move the cursor or add lines', () => {
    const story = new Story().begin().start('tuned', 'sft/train');
    const message = 'one\ntwo \u001b[2Jthree \u0007';
    story.tell('log.written', { level: 'info', source: 'trainer student', message }, 'tuned');
    expect(drawn(story)).toContain('one two three');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(drawn(story)).not.toMatch(/[\u0007\u001b]/);
  });

  it('fits every terminal', () => {
    const story = training().accuracy('untuned', 128, 0.03).accuracy('tuned', 128, 0.61);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.integer({ min: 2, max: 60 }), (columns, rows) => {
        const options = { now: story.now, columns, rows, colors: picocolors.createColors(true) };
        const lines = liveView(story.state, options);
        expect(lines.length).toBeLessThan(Math.max(2, rows));
        for (const line of lines) expect(widthOf(line)).toBeLessThan(columns);
      }),
    );
  });
});
