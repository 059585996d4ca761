import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definePlugin, defineStage, type Event, OpenAiEndpoint, z } from 'simmerkit';
import { fakeTrainerPlugin, type HarnessRun, RunHarness } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ChatServer, startChatServer } from '../../plugins/curation/chat-server.fixture.js';
import launchers from '../../plugins/launchers/plugin.js';
import sft from '../../plugins/sft/plugin.js';

/** What a training needs, made from nothing; a stage that asks a server; and one that waits until it is stopped. */
const around = definePlugin({
  name: 'around',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    model: defineStage({
      description: 'A folder that the fake trainer takes for a model.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { model: { type: 'model', description: 'The model.' } },
      async run(context) {
        const folder = await context.artifacts.temporaryFolder();
        await writeFile(join(folder, 'config.json'), '{"model_type": "llama"}');
        await writeFile(join(folder, 'model.safetensors'), 'weights');
        return { model: await context.artifacts.commitModel(folder) };
      },
    }),
    rows: defineStage({
      description: 'Rows to train on.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { dataset: { type: 'dataset', description: 'The rows.' } },
      async run(context) {
        const rows = Array.from({ length: 240 }, (_, index) => ({ prompt: `${index}?`, completion: `${index}!` }));
        return {
          dataset: await context.artifacts.writeDataset(rows, {
            columns: { prompt: 'VARCHAR', completion: 'VARCHAR' },
          }),
        };
      },
    }),
    ask: defineStage({
      description: 'Asks a server one thing after another.',
      options: z.strictObject({
        url: z.string(),
        questions: z.int(),
        price: z.strictObject({ inputPerMillion: z.number(), outputPerMillion: z.number() }).optional(),
      }),
      inputs: {},
      outputs: { report: { type: 'report', description: 'How many were answered.' } },
      async run({ options, signal, spending, artifacts }) {
        const cost = { spending, source: 'teacher', price: options.price };
        const endpoint = new OpenAiEndpoint({ url: options.url, timeoutMilliseconds: 5000, retries: 0, signal, cost });
        for (let question = 0; question < options.questions; question++) {
          await endpoint.post('chat/completions', { messages: [{ role: 'user', content: '?' }], max_tokens: 1000 });
        }
        return { report: await artifacts.writeReport({ answered: options.questions }) };
      },
    }),
    wait: defineStage({
      description: 'Waits until it is told to stop.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: 'Never made.' } },
      run: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    }),
  },
});

let harness: RunHarness;
beforeEach(async () => {
  harness = await RunHarness.create({
    plugins: [around, launchers, sft, fakeTrainerPlugin],
    resources: { cpus: 4, gpus: 8 },
    // A dollar a second for a machine, and as much for each accelerator.
    hardware: { bench: { usdPerNodeHour: 3600 }, card: { usdPerGpuHour: 3600 }, unpriced: {} },
  });
});
afterEach(() => harness[Symbol.asyncDispose]());

const training = (budget: string, resources = '{ cpus: 1, hardware: bench }') => `
name: paid
budget: { ${budget}, reserve: { step: 0.2, checkpoint: 0.2, shutdown: 0.3 } }
trainers:
  student: { uses: fake-trainer/fake, with: { misbehavior: { stepMilliseconds: 50 } }, resources: ${resources} }
stages:
  base: { uses: around/model }
  rows: { uses: around/rows }
  tuned:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.rows.dataset }}"
      epochs: 1
      globalBatchSize: 2
      checkpointEverySteps: 100
`;

function lastTotal(run: HarnessRun): { readonly usd: number; readonly gpuHours: number } {
  return run.eventsOf('budget.spent').at(-1)?.data.total ?? { usd: 0, gpuHours: 0 };
}

function stepsOf(run: HarnessRun): readonly number[] {
  return run.eventsOf('step.logged').map((event) => event.data.step);
}

describe('a budget in mid-training', () => {
  it('ends the run below its limit with a checkpoint, and a larger one goes on from there', async () => {
    const stopped = await harness.run(training('usd: 6'));
    expect(stopped.outcome).toMatchObject({
      status: 'interrupted',
      error: { code: 'budget_reached', kind: 'budget', hint: expect.stringContaining('--set budget.usd=12') },
    });
    expect(lastTotal(stopped).usd).toBeGreaterThan(3);
    expect(lastTotal(stopped).usd).toBeLessThanOrEqual(6);
    const reached = stepsOf(stopped).at(-1) ?? 0;
    expect(reached).toBeLessThan(120);
    expect(stopped.eventsOf('checkpoint.saved').at(-1)?.data.step).toBe(reached);
    expect(stopped.events.at(-1)?.type).toBe('run.interrupted');

    const finished = await harness.resume(stopped.runId, { budgetChange: { usd: 60 } });
    expect(finished.outcome.status).toBe('completed');
    // Each step once: nothing that was paid for was done again.
    expect(stepsOf(finished)).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
    const keys = finished.eventsOf('stage.started').filter((event) => event.stage === 'tuned');
    expect(new Set(keys.map((event) => event.data.key)).size).toBe(1);
    // What the first attempt spent is counted on.
    expect(lastTotal(finished).usd).toBeGreaterThan(lastTotal(stopped).usd + 0.1);
    expect(finished.eventsOf('budget.set').map((event) => event.data)).toEqual([{ usd: 6 }, { usd: 60 }]);
  });

  it('ends at once, and spends nothing, where it is taken up again without more', async () => {
    const stopped = await harness.run(training('usd: 2.5'));
    const again = await harness.resume(stopped.runId);
    expect(again.outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
    expect(lastTotal(again).usd).toBe(lastTotal(stopped).usd);
    expect(again.eventsOf('trainer.started')).toHaveLength(1);
  });

  it('counts every accelerator that is held, the idle ones too', async () => {
    const run = await harness.run(training('gpuHours: 0.003', '{ cpus: 1, gpus: 4, hardware: card }'));
    expect(run.outcome).toMatchObject({
      status: 'interrupted',
      error: { code: 'budget_reached', hint: expect.stringContaining('budget.gpuHours=') },
    });
    expect(lastTotal(run).gpuHours).toBeLessThanOrEqual(0.003);
    const [held] = run.eventsOf('hardware.held');
    expect(held?.data).toMatchObject({ holder: 'trainer student', gpus: 4, nodes: 1, usdPerHour: 4 * 3600 });
    const seconds = run.eventsOf('budget.spent').reduce((sum, event) => sum + (event.data.seconds ?? 0), 0);
    expect(lastTotal(run).gpuHours).toBeCloseTo((4 * seconds) / 3600, 6);
    // It was ready before it trained: that time is paid for as well.
    expect(seconds).toBeGreaterThan(0.05 * stepsOf(run).length);
  });
});

describe('a budget of time', () => {
  it('ends a run in which nothing costs anything', async () => {
    const recipe = 'name: slow\nbudget: { wallClock: 1s }\nstages:\n  forever: { uses: around/wait }\n';
    const run = await harness.run(recipe);
    expect(run.outcome).toMatchObject({
      error: { code: 'budget_reached', hint: expect.stringContaining('wallClock') },
    });
    const [first, last] = [run.events[0], run.events.at(-1)] as [Event, Event];
    expect(Date.parse(last.time) - Date.parse(first.time)).toBeLessThanOrEqual(1000);
  });
});

describe('a budget of requests', () => {
  let server: ChatServer;
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

  it('refuses what has no price before it asks', async () => {
    const run = await harness.run(asking('budget: { usd: 3 }', ''));
    expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'price_missing' } });
    expect(asked).toBe(0);
  });

  it('counts what is spent without a limit, too, and tells how many tokens that were', async () => {
    const run = await harness.run(asking(''));
    expect(run.outcome.status).toBe('completed');
    expect(run.eventsOf('budget.spent')).toMatchObject([
      { stage: 'asked', data: { source: 'teacher', usd: 5, outputTokens: 5000, total: { usd: 5 } } },
    ]);
  });
});

it('refuses accelerators without a price where dollars are limited', async () => {
  const plan = harness.plan(training('usd: 3', '{ gpus: 2, hardware: unpriced }'));
  await expect(plan).rejects.toMatchObject({
    problems: [{ code: 'price_missing', path: 'trainers.student.resources' }],
  });
});

it('offers the nearest name for hardware that is not there', async () => {
  const plan = harness.plan(training('usd: 3', '{ gpus: 2, hardware: cart }'));
  await expect(plan).rejects.toMatchObject({
    problems: [{ code: 'unknown_hardware', hint: 'Did you mean "card"?' }],
  });
});
