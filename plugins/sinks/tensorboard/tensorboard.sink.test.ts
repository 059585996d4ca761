import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event, EventDraft, SinkContext } from 'simmerkit';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { fixtureRun } from '../report/report.fixture.js';
import { curveIn, eventFilesOf, summariesIn } from './board.fixture.js';
import { tensorboardSink } from './tensorboard.sink.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** What a core does that gives the sink these events, from its start to its end. */
async function feed(events: readonly Event[], context: SinkContext, options: object = {}): Promise<void> {
  const sink = await tensorboardSink.open(tensorboardSink.options.parse(options), context);
  try {
    for (const event of events) await sink.onEvent(event);
    await sink.beforeCompleted?.();
  } finally {
    await sink.close?.();
  }
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('the TensorBoard sink', () => {
  it('writes a run of its own for each stage, and the recipe', async () => {
    const { events, context } = await fixtureRun(folder);
    await feed(events, context);
    const place = join(folder, 'tensorboard');
    const loss = await curveIn(join(place, 'sft'), 'train/loss');
    expect(loss.map(([step]) => step)).toEqual(upTo(120));
    expect(await summariesIn(place)).toContainEqual({
      time: Date.parse(events[0]!.time),
      step: 0,
      values: [{ tag: 'recipe', text: '' }],
    });
  });

  it('gives the same as one that saw all at once, wherever it is cut off and given the run again', async () => {
    const { events, context } = await fixtureRun(folder);
    await feed(events, context, { folder: 'whole' });
    const whole = await curveIn(join(folder, 'whole', context.runId, 'sft'), 'train/loss');
    for (const until of [3, 20, 60, events.length]) await feed(events.slice(0, until), context);
    const place = join(folder, 'tensorboard', 'sft');
    expect(await curveIn(place, 'train/loss')).toEqual(whole);
    expect(await eventFilesOf(place)).toHaveLength(3);
  });

  it('has a step once that ran again after a resume, and one that nobody was told of before', async () => {
    const { events, context } = await fixtureRun(folder);
    const steps = events.filter((event) => event.type === 'step.logged').slice(0, 5);
    const again = steps.map((event) => ({ ...event, attempt: 2, data: { ...event.data, loss: 9, rerun: true } }));
    await feed([...steps.slice(0, 3), ...again.slice(1)] as Event[], context);
    const curve = await curveIn(join(folder, 'tensorboard', 'sft'), 'train/loss');
    const losses = steps.map(({ data }) => Math.fround(data.loss ?? 0));
    expect(curve).toEqual([...losses.slice(0, 3), 9, 9].map((loss, index) => [index + 1, loss]));
  });

  it("puts each run into a folder of its own below the recipe's folder", async () => {
    const { events, context } = await fixtureRun(folder);
    for (const runId of ['one', 'two']) await feed(events, { ...context, runId }, { folder: 'logs' });
    for (const runId of ['one', 'two'])
      expect(await curveIn(join(folder, 'logs', runId, 'sft'), 'train/loss')).toHaveLength(120);
  });

  it('shows the curve of a model that another run made, whose log it reads once', async () => {
    const { events, context } = await fixtureRun(folder);
    const [first] = events;
    const draft = (drafted: EventDraft): Event => ({ ...first!, ...drafted }) as Event;
    const made = [
      draft({ type: 'stage.started', stage: 'sft', data: { uses: 'sft/train', key: 's' } }),
      ...events.filter(({ type }) => type === 'step.logged'),
    ];
    const eventsOf = vi.fn(async function* () {
      yield* made;
    });
    const reused = (stage: string, key: string) =>
      draft({
        type: 'stage.reused',
        stage,
        data: { uses: 'sft/train', key, outputs: {}, madeBy: 'earlier' },
      });
    await feed([first!, reused('rows', 'r'), reused('tuned', 's')], { ...context, eventsOf });
    const place = join(folder, 'tensorboard');
    expect(await curveIn(join(place, 'tuned'), 'train/loss')).toHaveLength(120);
    await expect(eventFilesOf(join(place, 'rows'))).rejects.toThrow('ENOENT');
    expect(eventsOf.mock.calls).toEqual([['earlier']]);
  });

  it('throws what the disk says, so that it is left out and the run goes on', async () => {
    const { events, context } = await fixtureRun(folder);
    await mkdir(join(folder, 'tensorboard'));
    await writeFile(join(folder, 'tensorboard', 'sft'), 'No folder can be made here.');
    await expect(feed(events, context)).rejects.toThrow('ENOTDIR');
  });
});
