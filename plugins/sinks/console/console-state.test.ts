import { describe, expect, it } from 'vitest';
import { elapsedSeconds, secondsLeft, viewTime } from './console-state.js';
import { Story } from './story.fixture.js';

const tuned = (story: Story) => story.state.stages.get('tuned')!;

describe('the state that the console shows', () => {
  it('keeps the stages in the order of the plan, and puts others last', () => {
    const story = new Story([
      ['pool', 'curation/load'],
      ['tuned', 'sft/train'],
    ]).begin();
    story.start('extra').start('tuned', 'sft/train');
    expect([...story.state.stages.keys()]).toEqual(['pool', 'tuned', 'extra']);
    expect(story.state.stages.get('pool')?.status).toBe('waiting');
    expect(tuned(story).status).toBe('running');
  });

  it('tells the time left from the pace of the steps', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train();
    story.wait(60).step(10, 2).wait(20).step(20, 1.9);
    expect(secondsLeft(tuned(story), story.now)).toBeCloseTo(160);
    expect(secondsLeft(tuned(story), story.now + 5000)).toBeCloseTo(155);
  });

  it('goes on where the clock of a view is set back', () => {
    const story = new Story().begin().start('tuned', 'sft/train');
    const hour = 3_600_000;
    expect(viewTime(story.state, story.now + 5000, 5000)).toBe(story.now + 5000);
    expect(viewTime(story.state, story.now - hour, 5000)).toBe(story.now + 5000);
    // Of a run that is watched from its log, the last event is long past.
    expect(viewTime(story.state, story.now + hour, 5000)).toBe(story.now + hour);
  });

  it('tells no time left from the first of many', () => {
    const story = new Story().begin().start('tuned', 'budget-forcing/generate');
    const left = (done: number, total: number) => {
      story.tell('stage.progressed', { done, total, unit: 'samples', secondsLeft: 2400 }, 'tuned');
      return secondsLeft(tuned(story), story.now);
    };
    expect([left(1, 96), left(10, 96), left(1, 4)]).toEqual([undefined, 2400, 2400]);
  });

  it('takes a new pace where training starts again', () => {
    const story = new Story().begin().start('tuned', 'sft/train').train();
    story.step(1, 2).wait(100).step(2, 2).wait(500).train().step(3, 2).wait(1).step(4, 2);
    expect(secondsLeft(tuned(story), story.now)).toBeCloseTo(96);
  });

  it('puts steps that ran again in the place of those that they repeat', () => {
    const story = new Story().begin().start('tuned', 'sft/train').step(1, 3).step(2, 2.5).step(3, 2.2).train();
    story.step(2, 2.4);
    expect(tuned(story).losses).toEqual([
      { step: 1, loss: 3 },
      { step: 2, loss: 2.4 },
    ]);
  });

  it('keeps a long loss curve short, with its first and its last point', () => {
    const story = new Story().begin().start('tuned', 'sft/train');
    for (let step = 1; step <= 5000; step++) story.step(step, 1 / step, 5000);
    const { losses } = tuned(story);
    expect(losses.length).toBeLessThanOrEqual(256);
    expect(losses[0]?.step).toBe(1);
    expect(losses.at(-1)?.step).toBe(5000);
  });

  it('leaves a loss that is not finite out of the curve', () => {
    const story = new Story().begin().start('tuned', 'sft/train').step(1, 2).step(2, null);
    expect(tuned(story).losses).toEqual([{ step: 1, loss: 2 }]);
    expect(tuned(story).step?.step).toBe(2);
  });

  it('counts the time that cores spent, not the pause before a resume', () => {
    const story = new Story().begin().wait(30).tell('run.interrupted', { reason: 'Ctrl-C' });
    story.wait(1000).tell('run.started', { pid: 2, host: 'here', resumed: true }).wait(5);
    expect(elapsedSeconds(story.state, story.now)).toBeCloseTo(35);
    expect(story.state.reason).toBeUndefined();
  });

  it('ends the time of a core that was killed at the last thing that it said', () => {
    const story = new Story().begin().wait(10).start('tuned', 'sft/train').wait(500);
    story.tell('run.started', { pid: 2, host: 'here', resumed: true }).wait(5);
    expect(elapsedSeconds(story.state, story.now)).toBeCloseTo(15);
    expect(tuned(story).status).toBe('interrupted');
  });

  it('spans the rows of all steps of a stage', () => {
    const story = new Story().begin().start('tuned');
    story.tell('funnel.counted', { step: 'exact', rowsIn: 100, rowsOut: 90, dropped: { twice: 10 } }, 'tuned');
    story.tell('funnel.counted', { step: 'near', rowsIn: 90, rowsOut: 80, dropped: { near: 10 } }, 'tuned');
    expect(tuned(story).rows).toEqual({ in: 100, out: 80 });
  });

  it('passes over events that it does not know', () => {
    const story = new Story().begin();
    const before = story.state.stages;
    story.tell('stage.renamed' as 'stage.reused', { uses: 'a/b', key: 'k', outputs: {} }, 'tuned');
    expect(story.state.status).toBe('running');
    expect(story.state.stages).toBe(before);
  });
});
