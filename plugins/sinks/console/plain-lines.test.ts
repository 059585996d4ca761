import { describe, expect, it } from 'vitest';
import { foldEvent, initialState } from './console-state.js';
import { lastingLine, PlainLines } from './plain-lines.js';
import { Story } from './story.fixture.js';

function told(story: Story): readonly string[] {
  const lines = new PlainLines();
  let state = initialState();
  return story.events.flatMap((event) => {
    state = foldEvent(state, event);
    return lines.tell(event, state);
  });
}

describe('plain lines', () => {
  it('tell a stage from start to end, with the time since the run started', () => {
    const story = new Story().begin().wait(62).start('clean');
    story.wait(4).tell('funnel.counted', { step: 'clean', rowsIn: 100, rowsOut: 90, dropped: { image: 10 } }, 'clean');
    story.complete('clean', 4);
    expect(told(story)).toEqual([
      '00:00  quickstart started as run quickstart-1',
      '01:02  clean: started (curation/quality)',
      '01:06  clean: 100 → 90 rows (dropped: image 10)',
      '01:06  clean: done in 4.0s, 100 → 90 rows',
    ]);
  });

  it('tell that a stage failed, and leave the error to who prints it whole', () => {
    const story = new Story().begin().wait(62).start('clean').wait(4);
    story.tell('stage.failed', { error: { code: 'x', message: 'Stage "clean" failed: no' } }, 'clean');
    expect(told(story).at(-1)).toBe('01:06  clean: failed');
  });

  it('tell the first step at once, and then one in fifteen seconds', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train();
    for (let step = 1; step <= 100; step++) story.wait(1).step(step, 2 - step / 100);
    const steps = told(story).filter((line) => line.includes(' loss '));
    expect(steps[0]).toBe('00:01  tuned: 1/100 steps, loss 1.990, 418 tokens/s, 1.9 GB, learning rate 1.0e-4');
    expect(steps).toHaveLength(7);
    expect(steps.at(-1)).toContain('01:31');
  });

  it('tell with a sink that is left out what to do about it, in the live view, too', () => {
    const error = { code: 'secret_missing', message: 'There is no KEY.', hint: 'List KEY under `secrets`.' };
    const story = new Story().begin().tell('sink.failed', { sink: 'hook/poster', error });
    const line = 'sink hook/poster failed and is left out: There is no KEY. List KEY under `secrets`.';
    expect(told(story).at(-1)).toBe(`00:00  warning: ${line}`);
    expect(lastingLine(story.events.at(-1)!)).toBe(line);
  });

  it('count the steps that were done where training stopped early', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train().wait(1).step(1, 2).wait(1).step(40, 1.5);
    expect(told(story.complete('tuned', 2)).at(-1)).toBe('00:02  tuned: done in 2.0s, loss 2.000 → 1.500 in 40 steps');
  });

  it('tell one row, one step and one sample as one', () => {
    const story = new Story().begin().start('clean');
    story.tell('funnel.counted', { step: 'clean', rowsIn: 3, rowsOut: 1, dropped: { image: 2 } }, 'clean');
    story.complete('clean').start('tuned', 'sft/train').train({ totalSteps: 1, rows: 1, truncatedRows: 1 });
    story.step(1, 2, 1).complete('tuned').start('answers', 'budget-forcing/generate');
    story.tell('stage.progressed', { done: 1, total: 1, unit: 'samples' }, 'answers').complete('answers');
    story.start('chosen', 'curation/select').wait(20);
    story.tell('stage.progressed', { done: 1, total: 1, unit: 'rows drawn' }, 'chosen');
    expect(told(story).map((line) => line.slice('00:00  '.length))).toEqual(
      expect.arrayContaining([
        'clean: 3 → 1 row (dropped: image 2)',
        'clean: done in 1.0s, 3 → 1 row',
        'tuned: training 1 step on 1 row, 153,211 tokens; 1 row is cut off',
        expect.stringMatching(/^tuned: 1\/1 step, /),
        'tuned: done in 1.0s, loss 2.000 → 2.000 in 1 step',
        'answers: done in 1.0s, 1 sample',
        'chosen: 1/1 row drawn',
      ]),
    );
  });

  it('tell a learning rate of 0, with which warm-up begins, as 0', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train();
    story.step(1, 2, 100, 0);
    expect(told(story).at(-1)).toMatch(/, learning rate 0$/);
  });

  it('tell nothing of spending where nothing has a price', () => {
    const spent = { usd: 0, gpuHours: 0, wallClockSeconds: 20 };
    const free = { source: 'm', usd: 0, gpuHours: 0, total: spent };
    const story = new Story().begin().wait(20).tell('budget.spent', free);
    expect(told(story)).toHaveLength(1);
    story.wait(20).tell('budget.spent', { ...free, usd: 1, total: { ...spent, usd: 1 } });
    expect(told(story).at(-1)).toBe('00:40  spent so far: $1.00');
  });

  it('tell nothing of spending while only time passes, which every line tells', () => {
    const total = { usd: 0, gpuHours: 0, wallClockSeconds: 20 };
    const story = new Story().begin().tell('budget.set', { usd: 5, wallClockSeconds: 3600 }).wait(20);
    const linesBefore = told(story).length;
    expect(told(story.tell('budget.spent', { source: 'time', usd: 0, gpuHours: 0, total }))).toHaveLength(linesBefore);
    story.tell('budget.spent', { source: 'm', usd: 1, gpuHours: 0, total: { ...total, usd: 1 } });
    expect(told(story).at(-1)).toBe('00:20  spent so far: $1.00 of $5.00, 20s of 1h 00m');
  });

  it('go on where a core takes the run up whose clock is behind that of the one before', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train().wait(20).step(1, 2).wait(-3600);
    story
      .tell('run.started', { pid: 2, host: 'here', resumed: true })
      .start('tuned', 'sft/train')
      .train()
      .wait(20)
      .step(2, 2);
    expect(told(story).at(-1)).toMatch(/ {2}tuned: 2\/100 steps, /);
  });

  it('tell bytes as people read them', () => {
    const story = new Story().begin().start('pool', 'curation/load').wait(20);
    const progress = { done: 4_200_000, total: 1_900_000_000, unit: 'bytes', perSecond: 210_000, secondsLeft: 9028 };
    story.tell('stage.progressed', progress, 'pool').wait(20);
    story.tell('stage.progressed', { done: 8_400_000, total: null, unit: 'bytes' }, 'pool');
    expect(told(story).slice(2)).toEqual(['00:20  pool: 4.2 MB/1.9 GB, 210 kB/s, 2h 30m left', '00:40  pool: 8.4 MB']);
  });

  it('say nothing of the progress of a stage that is done in seconds', () => {
    const story = new Story().begin().start('clean').wait(2);
    story.tell('stage.progressed', { done: 5, total: 10, unit: 'rows' }, 'clean').complete('clean');
    expect(told(story).filter((line) => line.includes('5/10'))).toEqual([]);
  });

  it('tell accuracies with their intervals, and leave differences to the summary', () => {
    const story = new Story().begin().accuracy('tuned', 128, 0.61);
    story.tell('metric.measured', {
      name: 'tuned-untuned.accuracy@128',
      value: 0.5,
      unit: 'share',
      labels: { kind: 'model', model: 'tuned', policy: '128', fromModel: 'untuned', fromPolicy: '128' },
    });
    expect(told(story).slice(1)).toEqual(['00:00  tuned.accuracy@128 61.0% [56.0%, 66.0%]']);
  });

  it('tell of a trainer that died, with its last words, and stay silent of one that was asked to end', () => {
    const exit = { trainer: 'student', pid: 7, exitCode: null, signal: 'SIGKILL' } as const;
    const story = new Story().begin();
    story.tell('trainer.exited', { ...exit, expected: false, lastLines: ['Traceback', 'MemoryError', ''] }, 'tuned');
    story.tell('trainer.exited', { ...exit, expected: true, lastLines: [] }, 'tuned');
    expect(told(story).slice(1)).toEqual([
      '00:00  tuned: warning: trainer student (process 7) ended by itself, signal SIGKILL: MemoryError',
    ]);
  });

  it('tell of ranks that died what torchrun has as their cause, and not the rule that it draws below', () => {
    const exit = { trainer: 'student', pid: 7, exitCode: 1, signal: null, expected: false } as const;
    const story = new Story().begin();
    const cause = '  traceback : Signal 9 (SIGKILL) received by PID 29027';
    story.tell('trainer.exited', { ...exit, lastLines: ['-'.repeat(60), cause, '='.repeat(60)] }, 'tuned');
    expect(told(story).at(-1)).toContain('ended by itself, exit code 1: traceback : Signal 9 (SIGKILL) received');
  });

  it('name the plugin that wrote a line for no stage', () => {
    const story = new Story().begin();
    story.tell('log.written', { level: 'info', source: 'plugin mine', message: 'opened' });
    story.tell('log.written', { level: 'warning', source: 'plugin mine', message: 'odd' });
    story.tell('log.written', { level: 'info', source: 'plugin mine', message: 'graded' }, 'graded');
    expect(told(story).slice(1)).toEqual([
      '00:00  plugin mine: opened',
      '00:00  warning: plugin mine: odd',
      '00:00  graded: graded',
    ]);
    expect(story.events.flatMap((event) => lastingLine(event) ?? [])).toEqual(['plugin mine: odd']);
  });

  it('keep every line of others on one line', () => {
    const story = new Story().begin();
    story.tell('log.written', { level: 'warning', source: 'trainer', message: 'a\r\nb\u001b[31mc' }, 'tuned');
    expect(told(story)[1]).toBe('00:00  tuned: warning: a bc');
  });
});

describe('lines that stay above the live view', () => {
  it('are warnings and errors, not news', () => {
    const story = new Story().begin();
    story.tell('log.written', { level: 'info', source: 'stage', message: 'news' }, 'tuned');
    story.tell('log.written', { level: 'warning', source: 'stage', message: 'careful' }, 'tuned');
    story.tell('step.diverged', { step: 3, before: 2, after: 2.5 }, 'tuned');
    expect(story.events.flatMap((event) => lastingLine(event) ?? [])).toEqual([
      'tuned: careful',
      'tuned: step 3 ran again with another loss: 2, then 2.5',
    ]);
  });
});
