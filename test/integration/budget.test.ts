import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { definePlugin, defineStage, type Event, z } from 'simmerkit';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { foldRunState, initialRunState } from '../../core/engine/run-state.js';
import { type LogFileSystem, nodeLogFileSystem } from '../../core/events/log-file-system.js';
import { processIdentity } from '../../core/process/process-identity.js';
import { checkpointMarker } from '../../core/trainer/checkpoints.js';
import curation from '../../plugins/curation/plugin.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';
import { temporaryFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';
import { type CoreProcessOptions, killedCore } from './core-process.js';
import { paidOptions, paidTraining } from './paid-core.js';

let harness: RunHarness;
beforeEach(async () => {
  harness = await RunHarness.create(paidOptions);
});
afterEach(() => harness[Symbol.asyncDispose]());

function lastTotal(run: HarnessRun): { readonly usd: number; readonly gpuHours: number } {
  return run.eventsOf('budget.spent').at(-1)?.data.total ?? { usd: 0, gpuHours: 0 };
}

/** Keeps back nine seconds more for its end than it takes by itself: a busy machine may take them. */
const endingSlowly = (...training: Parameters<typeof paidTraining>) =>
  paidTraining(...training).replace('shutdown: 0.3', 'shutdown: 9.3');

function stepsOf(run: HarnessRun): readonly number[] {
  return run.eventsOf('step.logged').map((event) => event.data.step);
}

describe('a budget in mid-training', () => {
  it('ends the run below its limit with a checkpoint, and a larger one goes on from there', async () => {
    const minutes = 'checkpoint: 100, shutdown: 100';
    const recipe = paidTraining('usd: 2000').replace('checkpoint: 0.2, shutdown: 0.3', minutes);
    // Most of the time passes at a stroke: what is left of it is enough on a machine that is busy.
    const told = Date.now;
    const jumpAhead = (event: Event) => {
      if (event.type !== 'step.logged' || event.data.step < 10) return;
      vi.spyOn(Date, 'now').mockImplementation(() => told() + 1_800_000);
    };
    onTestFinished(() => void vi.restoreAllMocks());
    const stopped = await harness.run(recipe, { sinks: [{ onEvent: jumpAhead }] });
    expect(stopped.outcome).toMatchObject({
      status: 'interrupted',
      error: { code: 'budget_reached', kind: 'budget', hint: expect.stringContaining('--set budget.usd=4000') },
    });
    expect(lastTotal(stopped).usd).toBeGreaterThan(1800);
    expect(lastTotal(stopped).usd).toBeLessThanOrEqual(2000);
    const reached = stepsOf(stopped).at(-1) ?? 0;
    expect(reached).toBeLessThan(120);
    expect(stopped.eventsOf('checkpoint.saved').at(-1)?.data.step).toBe(reached);
    expect(stopped.events.at(-1)?.type).toBe('run.interrupted');

    const finished = await harness.resume(stopped.runId, { budgetChange: { usd: 20_000 } });
    expect(finished.outcome.status).toBe('completed');
    // Each step once: nothing that was paid for was done again.
    expect(stepsOf(finished)).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
    const keys = finished.eventsOf('stage.started').filter((event) => event.stage === 'tuned');
    expect(new Set(keys.map((event) => event.data.key)).size).toBe(1);
    // What the first attempt spent is counted on.
    expect(lastTotal(finished).usd).toBeGreaterThan(lastTotal(stopped).usd + 0.1);
    expect(finished.eventsOf('budget.set').map((event) => event.data)).toEqual([{ usd: 2000 }, { usd: 20_000 }]);
  });

  it('ends at once, and spends nothing, where it is taken up again with no more than was spent', async () => {
    const stopped = await harness.run(paidTraining('usd: 2.5'));
    // Not the same limit: what was kept back for the end and not needed may be spent by a resume.
    const again = await harness.resume(stopped.runId, { budgetChange: { usd: lastTotal(stopped).usd } });
    expect(again.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    expect(lastTotal(again).usd).toBe(lastTotal(stopped).usd);
    expect(again.eventsOf('hardware.held')).toHaveLength(1);
  });

  it('counts every accelerator that is held, the idle ones too', async () => {
    const run = await harness.run(endingSlowly('gpuHours: 0.013', '{ cpus: 1, gpus: 4, hardware: card }'));
    expect(run.outcome).toMatchObject({
      status: 'interrupted',
      error: { code: 'budget_reached', hint: expect.stringContaining('budget.gpuHours=') },
    });
    expect(lastTotal(run).gpuHours).toBeLessThanOrEqual(0.013);
    const [held] = run.eventsOf('hardware.held');
    expect(held?.data).toMatchObject({ holder: 'trainer student', gpus: 4, nodes: 1, usdPerHour: 4 * 3600 });
    const seconds = run.eventsOf('budget.spent').reduce((sum, event) => sum + (event.data.seconds ?? 0), 0);
    expect(lastTotal(run).gpuHours).toBeCloseTo((4 * seconds) / 3600, 6);
    // It was ready before it trained: that time is paid for as well.
    expect(seconds).toBeGreaterThan(0.05 * stepsOf(run).length);
  });
});

describe('kill -9 of a core whose run costs something', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  const killed = async (recipe: string, when: Pick<CoreProcessOptions, 'killAtStep' | 'killAfter'>) => {
    const home = join(folder, 'home');
    const program = builtModule('test/integration/paid-core.ts');
    const environment = { PAID_RECIPE: recipe, SIMMER_LEASE_SECONDS: '60' };
    const events = await killedCore({ program, home, temporaryFolder: folder, environment, ...when });
    return { home, runId: events[0]?.runId ?? '', events };
  };
  /** Long enough that a busy machine takes it up again meanwhile. */
  const longTraining = endingSlowly('usd: 1000').replace('stepMilliseconds: 50', 'stepMilliseconds: 500');
  /** So many dollars more than the trainer cost since it was started, whenever that was. */
  const roomFor = (usd: number, events: readonly Event[]) => {
    const { time } = events.find(({ type }) => type === 'hardware.held')!;
    return usd + (Date.now() - Date.parse(time)) / 1000;
  };

  it('counts the time that its trainer went on, and the limit holds for both attempts together', async () => {
    const { home, runId, events } = await killed(longTraining, { killAtStep: 3 });
    await using next = await RunHarness.create({ ...paidOptions, home });
    const limit = roomFor(13, events);
    const run = await next.resume(runId, { budgetChange: { usd: limit } });
    expect(run.eventsOf('trainer.attached')).toHaveLength(1);
    expect(run.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    expect(lastTotal(run).usd).toBeLessThanOrEqual(limit);
    // One holding from its start to its end, without a gap at the kill.
    const held = run.eventsOf('hardware.held');
    expect(held).toHaveLength(1);
    const passed = Date.parse(run.eventsOf('hardware.released').at(-1)?.time ?? '') - Date.parse(held[0]?.time ?? '');
    expect(lastTotal(run).usd).toBeCloseTo(passed / 1000, 0);
    expect(events.length).toBeLessThan(run.events.length);
  });

  it('counts a trainer that goes on also where the clock was set back meanwhile', async () => {
    const { home, runId, events } = await killed(longTraining, { killAtStep: 3 });
    const back = 5 * 3_600_000;
    const RealDate = Date;
    class EarlierDate extends RealDate {
      constructor(value: string | number = RealDate.now() - back) {
        super(value);
      }
      static override now() {
        return RealDate.now() - back;
      }
    }
    vi.stubGlobal('Date', EarlierDate);
    onTestFinished(() => void vi.unstubAllGlobals());
    await using next = await RunHarness.create({ ...paidOptions, home });
    const { data } = events.findLast(({ type }) => type === 'budget.spent') ?? { data: { total: { usd: 0 } } };
    const limit = (data as Event<'budget.spent'>['data']).total.usd + 13;
    const run = await next.resume(runId, { budgetChange: { usd: limit } });
    expect(run.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    expect(run.eventsOf('hardware.held')).toHaveLength(1);
  });

  it('counts a trainer that is gone up to when it ended at the latest', async () => {
    const { home, runId, events } = await killed(longTraining, { killAtStep: 3 });
    const started = events.find((event) => event.type === 'trainer.started') as Event<'trainer.started'>;
    process.kill(started.data.pid, 'SIGKILL');
    await expect.poll(() => processIdentity(started.data.pid)).toBeUndefined();
    await using next = await RunHarness.create({ ...paidOptions, home });
    const resumed = Date.now();
    const limit = roomFor(13, events);
    const run = await next.resume(runId, { budgetChange: { usd: limit } });
    expect(lastTotal(run).usd).toBeLessThanOrEqual(limit);
    const [unattended] = run.eventsOf('budget.spent').filter((event) => event.data.unattended);
    expect(Date.parse(unattended?.data.until ?? '')).toBeGreaterThanOrEqual(Date.parse(events.at(-1)?.time ?? ''));
    expect(Date.parse(unattended?.data.until ?? '')).toBeLessThanOrEqual(resumed + 5000);
  });

  it('ends a trainer that goes on where no stage comes to take it up, with a checkpoint', async () => {
    const { home, runId, events } = await killed(longTraining, { killAtStep: 3 });
    const started = events.find((event) => event.type === 'trainer.started') as Event<'trainer.started'>;
    await using next = await RunHarness.create({ ...paidOptions, home });
    const run = await next.resume(runId, { signal: AbortSignal.abort() });
    expect(run.outcome).toMatchObject({ status: 'interrupted' });
    expect(await processIdentity(started.data.pid)).toBeUndefined();
    expect(run.eventsOf('hardware.released')).toHaveLength(1);
    const files = await readdir(home, { recursive: true });
    expect(files.filter((file) => basename(file) === checkpointMarker)).toHaveLength(1);
  });

  it('counts what was set aside for requests, none of which anybody saw the end of', async () => {
    await using server = await startChatServer(() => undefined);
    const recipe = `
name: asking
budget: { usd: 3 }
stages:
  asked:
    uses: around/ask
    with: { url: ${server.url}, questions: 1, price: { inputPerMillion: 0, outputPerMillion: 2000 } }
`;
    const killAfter = ({ type }: Event) => (type === 'budget.reserved' ? 50 : undefined);
    const { home, runId } = await killed(recipe, { killAfter });
    await using next = await RunHarness.create({ ...paidOptions, home });
    const run = await next.resume(runId);
    expect(run.outcome).toMatchObject({
      error: { code: 'budget_reached', message: expect.stringContaining('$3.00 of the budget of $3.00 are spent') },
    });
  });
});

describe('a budget of time', () => {
  // The clock stands still but for what a test has it go on: a busy machine takes none of the time.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  const recipe =
    'name: slow\nbudget: { wallClock: 1s, reserve: { shutdown: 0.2 } }\nstages:\n  forever: { uses: around/wait }\n';
  /** A sink that lets time pass once the stage works. */
  const onceAtWork = (pass: () => void) => ({
    onEvent: ({ type }: Event) => {
      if (type === 'stage.started') pass();
    },
  });

  it('ends a run in which nothing costs anything', async () => {
    const run = await harness.run(recipe, { sinks: [onceAtWork(() => vi.advanceTimersByTime(400))] });
    expect(run.outcome).toMatchObject({
      error: { code: 'budget_reached', hint: expect.stringContaining('wallClock') },
    });
    expect(run.eventsOf('budget.spent').at(-1)?.data.total.wallClockSeconds).toBe(0.4);
    const [first, last] = [run.events[0], run.events.at(-1)] as [Event, Event];
    expect(Date.parse(last.time) - Date.parse(first.time)).toBe(400);
  });

  it('ends a run whose clock is set back meanwhile', async () => {
    const setBack = onceAtWork(() => {
      vi.setSystemTime(Date.now() - 5 * 3_600_000);
      vi.advanceTimersByTime(400);
    });
    const run = await harness.run(recipe, { sinks: [setBack] });
    expect(run.outcome).toMatchObject({ error: { code: 'budget_reached' } });
    expect(run.eventsOf('stage.started')).toHaveLength(1);
  });
});

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

it.each([
  ['usd: 3', /^usd=(.+)$/, 1800],
  ['gpuHours: 0.01', /^gpuHours=(.+)$/, 0.5],
  ['wallClock: 20s', /^wallClock=(.+)m$/, 7.5],
])('offers a limit that lets a trainer start, where %s does not', async (budget, offered, least) => {
  const recipe = paidTraining(budget, '{ gpus: 4, hardware: card }').replace(
    /reserve: {.*?}/,
    'reserve: { shutdown: 6m }',
  );
  const { outcome } = await harness.run(recipe);
  const { code, hint = '' } = outcome.status === 'interrupted' ? (outcome.error ?? {}) : {};
  expect(code).toBe('budget_reached');
  expect(Number(offered.exec(hint.split('budget.').at(-1) ?? '')?.[1])).toBeGreaterThanOrEqual(least);
});

it('offers more of each limit that a trainer cannot start below', async () => {
  const recipe = paidTraining('usd: 3, gpuHours: 0.01, wallClock: 20h', '{ gpus: 4, hardware: card }').replace(
    'shutdown: 0.3',
    'shutdown: 6m',
  );
  const stopped = await harness.run(recipe);
  const { code, hint = '' } = stopped.outcome.status === 'interrupted' ? (stopped.outcome.error ?? {}) : {};
  expect(code).toBe('budget_reached');
  const offered = /--set budget.usd=(\S+) --set budget.gpuHours=(\S+)$/.exec(hint);
  const budgetChange = { usd: Number(offered?.[1]), gpuHours: Number(offered?.[2]) };
  const finished = await harness.resume(stopped.runId, { budgetChange });
  expect(finished.outcome.status).toBe('completed');
});

it('refuses accelerators without a price where dollars are limited', async () => {
  const plan = harness.plan(paidTraining('usd: 3', '{ gpus: 2, hardware: unpriced }'));
  await expect(plan).rejects.toMatchObject({
    problems: [{ code: 'price_missing', path: 'trainers.student.resources' }],
  });
});

it('offers the nearest name for hardware that is not there', async () => {
  const plan = harness.plan(paidTraining('usd: 3', '{ gpus: 2, hardware: cart }'));
  await expect(plan).rejects.toMatchObject({
    problems: [{ code: 'unknown_hardware', hint: 'Did you mean "card"?' }],
  });
});
