import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { definePlugin, defineStage, type Event, z } from 'simmerkit';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import curation from '../../plugins/curation/plugin.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';
import { ControlHarness, recipeText } from './control-harness.js';

const said = JSON.stringify({
  choices: [{ message: { content: '4', reasoning_content: 'Two and two.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 0, completion_tokens: 500 },
});

/** A stage that fails as soon as it is told to, the first time. */
let fail: () => void;
let failed: Promise<void>;
const failing = definePlugin({
  name: 'failing',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    once: defineStage({
      description: 'Fails, and the next time does not.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: 'Nothing.' } },
      async run({ attempt, artifacts }) {
        if (attempt > 1) return { report: await artifacts.writeReport({}) };
        await failed;
        throw new Error('it failed');
      },
    }),
  },
});

let harness: RunHarness;
let server: HttpServer;
/** Answers that the server has not given. */
let open: ServerResponse[];
let asked: string[];
/** Told with each question how many there were. */
let onAsked: (count: number) => void;
let answersAtOnce: boolean;

beforeEach(async () => {
  harness = await RunHarness.create({ plugins: [curation, failing] });
  failed = new Promise((resolve) => {
    fail = resolve;
  });
  open = [];
  asked = [];
  onAsked = () => {};
  answersAtOnce = false;
  server = await startChatServer(({ messages }, response) => {
    asked.push(messages.at(-1)?.content ?? '');
    if (answersAtOnce) response.end(said);
    else open.push(response);
    onAsked(asked.length);
  });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await harness[Symbol.asyncDispose]();
});

const answerAll = () => {
  for (const response of open.splice(0)) response.end(said);
};
const whenAsked = (count: number) =>
  new Promise<void>((resolve) => {
    onAsked = (now) => now === count && resolve();
    onAsked(asked.length);
  });
/** A question may cost a dollar, and costs half of one. */
const recipe = (problems: number, { budget = '{}', more = '' } = {}) => `
name: distilling
budget: ${budget}
stages:
  problems: { uses: curation/generate-problems, with: { count: ${problems} } }
  traces:
    uses: curation/distill
    with:
      dataset: "\${{ stages.problems.dataset }}"
      url: ${server.url}
      model: teacher
      maxTokens: 1000
      concurrency: 4
      retries: 0
      price: { inputPerMillion: 0, outputPerMillion: 1000 }
${more}
`;
const dollarsOf = (run: HarnessRun) =>
  run.eventsOf('metric.measured').find(({ data }) => data.name === 'distill.dollars')?.data.value;
const waitings = (run: HarnessRun) =>
  run.eventsOf('log.written').flatMap(({ data }) => (data.message.startsWith('Waiting for') ? [data.message] : []));

describe('replies that are under way, and paid for', () => {
  it('are waited for and kept where another stage fails, and nothing more is asked', async () => {
    const sink = { onEvent: ({ type }: Event) => void (type === 'stage.failed' && answerAll()) };
    const handle = await harness.start(recipe(6, { more: '  beside: { uses: failing/once }' }), { sinks: [sink] });
    await whenAsked(4);
    fail();
    const stopped = await harness.ended(handle);
    expect(stopped.outcome).toMatchObject({ status: 'failed', stage: 'beside' });
    expect(waitings(stopped)).toEqual([
      `Waiting for 4 replies that are paid for, at most 30 minutes; \`simmer cancel ${stopped.runId} --now\` drops them.`,
    ]);
    expect(asked).toHaveLength(4);

    answersAtOnce = true;
    const finished = await harness.resume(stopped.runId);
    expect(finished.outcome.status).toBe('completed');
    expect(new Set(asked).size).toBe(6);
    expect(asked).toHaveLength(6);
    expect(dollarsOf(finished)).toBeCloseTo(3);
  });

  it('are waited for no longer than the time of a budget, and count for their most where none came', async () => {
    // The clock stands still but for what is said here: a busy machine takes none of the time.
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const budget = '{ wallClock: 4, reserve: { shutdown: 2 } }';
    const sink = {
      onEvent: (event: Event) => {
        if (event.type === 'log.written' && event.data.message.startsWith('Waiting for')) vi.advanceTimersByTime(1400);
      },
    };
    void whenAsked(4).then(() => vi.advanceTimersByTime(2000));
    const stopped = await harness.run(recipe(4, { budget }), { sinks: [sink] });
    expect(stopped.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    expect(waitings(stopped)).toHaveLength(1);
    expect(stopped.eventsOf('budget.spent').at(-1)?.data.total).toMatchObject({ usd: 4 });
    expect(stopped.eventsOf('budget.spent').at(-1)?.data.total.wallClockSeconds).toBeLessThan(4);

    answersAtOnce = true;
    const finished = await harness.resume(stopped.runId, { budgetChange: { wallClockSeconds: 60 } });
    expect(finished.outcome.status).toBe('completed');
    expect(dollarsOf(finished)).toBeCloseTo(4 + 2);
  });

  it('are waited for by a cancel of simmer serve', async () => {
    await using control = await ControlHarness.start();
    const { run } = await control.client.createRun({ requestId: randomUUID(), recipe: recipeText(recipe(6)) });
    const { runId } = run!;
    await whenAsked(4);
    const canceled = control.client.cancelRun({ runId, reason: 'enough' });
    for await (const event of control.client.watch(runId, { fromSequence: 1 })) {
      if (event.type === 'log.written' && event.data.message.startsWith('Waiting for 4 replies')) answerAll();
    }
    await canceled;
    expect(asked).toHaveLength(4);
    answersAtOnce = true;
    await control.client.resumeRun(runId);
    expect((await control.events(runId)).at(-1)?.type).toBe('run.completed');
    expect(new Set(asked).size).toBe(6);
    expect(asked).toHaveLength(6);
  });

  it('are waited for by a server that is stopped, for less time than a service manager gives it', async () => {
    await using control = await ControlHarness.start();
    const { run } = await control.client.createRun({ requestId: randomUUID(), recipe: recipeText(recipe(6)) });
    const watched = control.client.watch(run!.runId, { fromSequence: 1 });
    await whenAsked(4);
    const stopped = control.server.stop();
    let told = '';
    for await (const event of watched) {
      if (event.type !== 'log.written' || !event.data.message.startsWith('Waiting for')) continue;
      told = event.data.message;
      answerAll();
      break;
    }
    await stopped;
    expect(told).toBe(
      `Waiting for 4 replies that are paid for, at most 8 minutes; \`simmer cancel ${run!.runId} --now\` drops them.`,
    );
  });

  it('are not waited for where the server is known to be free', async () => {
    const free = recipe(4).replace('outputPerMillion: 1000', 'outputPerMillion: 0');
    const stopping = new AbortController();
    const handle = await harness.start(free, { signal: stopping.signal });
    await whenAsked(4);
    stopping.abort('enough');
    const stopped = await harness.ended(handle);
    expect(stopped.outcome).toEqual({ status: 'interrupted', reason: 'enough' });
    expect(waitings(stopped)).toEqual([]);
  });
});

it('answers anew by another seed of its stage, and not by another name', async () => {
  answersAtOnce = true;
  await harness.run(recipe(3));
  expect(asked).toHaveLength(3);
  await harness.run(recipe(3).replace('  traces:', '  renamed:'));
  expect(asked).toHaveLength(3);
  await harness.run(recipe(3).replace('  traces:', '  traces:\n    seed: 8'));
  expect(asked).toHaveLength(6);
});

describe('two runs at the same time that ask the same', () => {
  it('pay once: each takes what the other is answered', async () => {
    const both = [await harness.start(recipe(6)), await harness.start(recipe(9))];
    // Four of each at once, or the second has four of the first six, and the first the other two.
    await whenAsked(6);
    answersAtOnce = true;
    answerAll();
    const ended = await Promise.all(both.map((handle) => harness.ended(handle)));
    for (const { outcome } of ended) expect(outcome.status).toBe('completed');
    expect(new Set(asked).size).toBe(9);
    expect(asked).toHaveLength(9);
    const dollars = ended.map(dollarsOf);
    expect((dollars[0] ?? 0) + (dollars[1] ?? 0)).toBeCloseTo(4.5);
  });

  it('ask themselves what the other gets no answer to', async () => {
    const first = await harness.start(recipe(1));
    await whenAsked(1);
    const second = await harness.start(recipe(2));
    await whenAsked(2);
    answersAtOnce = true;
    open[0]?.writeHead(500).end('{}');
    open[1]?.end(said);
    expect((await first.finished).status).toBe('failed');
    const ended = await harness.ended(second);
    expect(ended.outcome.status).toBe('completed');
    expect(asked).toEqual([asked[0], asked[1], asked[0]]);
    expect(dollarsOf(ended)).toBeCloseTo(1);
  });

  it('end at once where they wait for the other, and fail or are stopped', async () => {
    const first = await harness.start(recipe(1));
    await whenAsked(1);
    const second = await harness.start(recipe(2));
    await whenAsked(2);
    open[1]?.writeHead(500).end('{}');
    expect((await second.finished).status).toBe('failed');
    answerAll();
    expect((await first.finished).status).toBe('completed');
  });
});
