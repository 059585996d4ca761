import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Event } from 'simmerkit';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { processIdentity } from '../../core/process/process-identity.js';
import { checkpointMarker } from '../../core/trainer/checkpoints.js';
import { startChatServer } from '../chat-server.js';
import { temporaryFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';
import { type CoreProcessOptions, killedCore } from './core-process.js';
import { lastTotal, paidOptions, paidTraining } from './paid-core.js';

let harness: RunHarness;
beforeEach(async () => {
  harness = await RunHarness.create(paidOptions);
});
afterEach(() => harness[Symbol.asyncDispose]());

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
