import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { definePlugin, defineStage, type Event, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { foldRunState, initialRunState } from '../../core/engine/run-state.js';
import { type LogFileSystem, nodeLogFileSystem } from '../../core/events/log-file-system.js';
import curation from '../../plugins/curation/plugin.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';
import { lastTotal, paidOptions, paidTraining } from './paid-core.js';

let harness: RunHarness;
beforeEach(async () => {
  harness = await RunHarness.create(paidOptions);
});
afterEach(() => harness[Symbol.asyncDispose]());

describe('a budget of requests', () => {
  let server: HttpServer;
  let asked: number;
  beforeEach(async () => {
    asked = 0;
    server = await startChatServer(() => {
      asked += 1;
      return { choices: [{ message: { content: 'yes' } }], usage: { prompt_tokens: 0, completion_tokens: 500 } };
    });
  });
  afterEach(() => server[Symbol.asyncDispose]());

  // The most that a request can cost is a dollar, and half a dollar is what it does cost.
  const asking = (budget: string, price = ', price: { inputPerMillion: 0, outputPerMillion: 1000 }') => `
name: asking
${budget}
stages:
  asked: { uses: around/ask, with: { url: ${server.url}, questions: 10${price} } }
`;

  it('makes no request that could cost more than is left', async () => {
    const stopped = await harness.run(asking('budget: { usd: 3 }'));
    expect(stopped.outcome).toMatchObject({
      status: 'interrupted',
      error: { code: 'budget_reached', message: expect.stringContaining('the next request of teacher may cost $1.00') },
    });
    expect(asked).toBe(5);
    expect(lastTotal(stopped).usd).toBeCloseTo(2.5);
    const finished = await harness.resume(stopped.runId, { budgetChange: { usd: null } });
    expect(finished.outcome.status).toBe('completed');
    expect(lastTotal(finished).usd).toBeCloseTo(2.5 + 5);
  });

  it('holds many requests at once below the limit, those that wait for room too', async () => {
    const atOnce = asking('budget: { usd: 3 }').replace('questions: 10', 'questions: 40, atOnce: 20');
    const stopped = await harness.run(atOnce);
    expect(stopped.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    const reserved = stopped.eventsOf('budget.reserved').map(({ data }) => data.usd);
    expect(Math.max(...reserved)).toBeLessThanOrEqual(3);
    expect(lastTotal(stopped).usd).toBeLessThanOrEqual(3);
  });

  it('leaves no more to be counted than the limit, whenever its core is killed', async () => {
    const usage = { prompt_tokens: 0, completion_tokens: 1000 };
    const held: ServerResponse[] = [];
    const answer = (response: ServerResponse) => response.end(JSON.stringify({ choices: [{}], usage }));
    await using some = await startChatServer((_, response) => {
      if (held.push(response) < 3) return;
      answer(held[0]!);
      // It is told every five seconds what is spent.
      const told = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => told() + 6000);
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const onEvent = ({ type }: Event) => {
      if (type === 'budget.spent') held.splice(1).map(answer);
    };
    const recipe = asking('budget: { usd: 3 }').replace('questions: 10', 'questions: 3, atOnce: 3');
    const run = await harness.run(recipe.replace(server.url, some.url), { sinks: [{ onEvent }] });
    expect(run.outcome.status).toBe('completed');
    let state = initialRunState;
    let most = 0;
    for (const [index, event] of run.events.entries()) {
      state = foldRunState(state, event);
      const { usd, reservedUsd } = state.spending;
      // What is told together is one write.
      const isTold = run.events[index + 1]?.type.startsWith('budget.') !== true;
      if (isTold) most = Math.max(most, usd + reservedUsd);
    }
    expect(most).toBe(3);
  });

  it('refuses what has no price before it asks', async () => {
    const run = await harness.run(asking('budget: { usd: 3 }', ''));
    expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'price_missing' } });
    expect(asked).toBe(0);
  });

  it('counts what is spent without a limit, too, and tells how many tokens that were', async () => {
    const run = await harness.run(asking(''));
    expect(run.outcome.status).toBe('completed');
    expect(run.eventsOf('budget.spent').at(-1)).toMatchObject({
      stage: 'asked',
      data: { source: 'teacher', total: { usd: 5 } },
    });
    const tokens = run.eventsOf('budget.spent').reduce((sum, event) => sum + (event.data.outputTokens ?? 0), 0);
    expect(tokens).toBe(5000);
  });
});

it('sends nothing before the log holds what all that is under way may cost', async () => {
  const logged: string[] = [];
  const plugin = definePlugin({
    name: 'hasty',
    version: '1.0.0',
    apiVersion: 1,
    stages: {
      ask: defineStage({
        description: 'Sets something aside twice at a time.',
        options: z.strictObject({}),
        inputs: {},
        outputs: {},
        async run({ spending, runId }) {
          const reserve = async (usd: number) => {
            const { settle } = await spending.reserve({ source: 'teacher', usd });
            logged.push(readFileSync(join(hasty.home, 'runs', runId, 'events.jsonl'), 'utf8'));
            settle({ usd });
          };
          // What is set aside for the first has room for the second.
          await Promise.all([reserve(1), reserve(0.1)]);
          return {};
        },
      }),
    },
  });
  const logFileSystem: LogFileSystem = {
    ...nodeLogFileSystem,
    async open(path) {
      const real = await nodeLogFileSystem.open(path);
      return {
        read: (buffer, position) => real.read(buffer, position),
        truncate: (length) => real.truncate(length),
        sync: () => real.sync(),
        close: () => real.close(),
        async write(bytes, position) {
          // The disk is busy.
          await nextTurn();
          return real.write(bytes, position);
        },
      };
    },
  };
  await using hasty = await RunHarness.create({ plugins: [plugin], logFileSystem });
  await hasty.run('name: hasty\nstages: { asked: { uses: hasty/ask } }');
  expect(logged).toHaveLength(2);
  for (const text of logged) expect(text).toContain('"budget.reserved"');
});

it('counts the most of requests that a stage which failed leaves under way', async () => {
  const waiting: ServerResponse[] = [];
  await using server = await startChatServer((_, response) => {
    if (waiting.push(response) < 4) return;
    response.statusCode = 400;
    response.end('refused');
  });
  const price = 'price: { inputPerMillion: 0, outputPerMillion: 1000 }';
  const asked = `{ uses: around/ask, with: { url: ${server.url}, questions: 4, atOnce: 4, ${price} } }`;
  const run = await harness.run(`name: asking\nstages:\n  asked: ${asked}\n`);
  expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'endpoint_refused' } });
  expect(lastTotal(run).usd).toBe(3);
});

it('ends in mid-distillation without a question that could cost more than is left, and asks none twice', async () => {
  const asked: string[] = [];
  await using server = await startChatServer(({ messages }) => {
    asked.push(messages.at(-1)?.content ?? '');
    const message = { content: 'It is 4.', reasoning_content: 'Two and two.' };
    const usage = { prompt_tokens: 0, completion_tokens: 500 };
    return { choices: [{ message, finish_reason: 'stop' }], usage };
  });
  // A question may cost a dollar, and costs half of one.
  const recipe = `
name: distilling
budget: { usd: 5 }
stages:
  problems: { uses: curation/generate-problems, with: { count: 20 } }
  traces:
    uses: curation/distill
    with:
      dataset: "\${{ stages.problems.dataset }}"
      url: ${server.url}
      model: teacher
      maxTokens: 1000
      concurrency: 4
      price: { inputPerMillion: 0, outputPerMillion: 1000 }
`;
  await using distilling = await RunHarness.create({ plugins: [curation] });
  const stopped = await distilling.run(recipe);
  expect(stopped.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached', kind: 'budget' } });
  expect(lastTotal(stopped).usd).toBeCloseTo(asked.length / 2);
  expect(lastTotal(stopped).usd).toBeGreaterThan(4);
  expect(lastTotal(stopped).usd).toBeLessThanOrEqual(5);
  const finished = await distilling.resume(stopped.runId, { budgetChange: { usd: 50 } });
  expect(finished.outcome.status).toBe('completed');
  expect(lastTotal(finished).usd).toBeCloseTo(10);
  expect(new Set(asked).size).toBe(20);
  expect(asked).toHaveLength(20);
});

it('sets nothing aside any more for what comes as the run is stopped', async () => {
  let interrupt = (_: string) => {};
  const { promise: begun, resolve: begin } = deferred<void>();
  const plugin = definePlugin({
    name: 'stopping',
    version: '1.0.0',
    apiVersion: 1,
    stages: {
      ask: defineStage({
        description: 'Is stopped while it sets something aside.',
        options: z.strictObject({}),
        inputs: {},
        outputs: {},
        async run({ spending }) {
          await begun;
          const reserving = spending.reserve({ source: 'teacher', usd: 1 });
          interrupt('enough');
          await reserving;
          return {};
        },
      }),
    },
  });
  await using stopping = await RunHarness.create({ plugins: [plugin] });
  const handle = await stopping.start('name: stopping\nstages: { asked: { uses: stopping/ask } }');
  interrupt = (reason) => handle.interrupt(reason);
  begin();
  const run = await stopping.ended(handle);
  expect(run.outcome).toEqual({ status: 'interrupted', reason: 'enough' });
  expect(run.eventsOf('stage.completed')).toEqual([]);
  expect(lastTotal(run).usd).toBe(0);
});

it('lets hardware go before replies are waited for', async () => {
  const { promise: released, resolve: answer } = deferred<void>();
  await using server = await startChatServer((_, response) => {
    const usage = { prompt_tokens: 0, completion_tokens: 500 };
    void released.then(() => response.end(JSON.stringify({ choices: [{ message: { content: 'yes' } }], usage })));
    return undefined;
  });
  const price = 'price: { inputPerMillion: 0, outputPerMillion: 1000 }';
  const beside = `  asked: { uses: around/ask, with: { url: ${server.url}, questions: 1, ${price} } }\n`;
  const handle = await harness.start(`${paidTraining('usd: 1000')}${beside}`, {
    sinks: [
      {
        onEvent: ({ type }) => {
          if (type === 'step.logged') handle.interrupt('enough');
          if (type === 'hardware.released') answer();
        },
      },
    ],
  });
  const run = await harness.ended(handle);
  expect(run.outcome).toEqual({ status: 'interrupted', reason: 'enough' });
  const paid = run.eventsOf('budget.spent').filter(({ data }) => data.source === 'teacher');
  expect(paid.reduce((sum, { data }) => sum + data.usd, 0)).toBe(0.5);
});
