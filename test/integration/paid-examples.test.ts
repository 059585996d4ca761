import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { startHttpServer } from '../http-server.js';
import { cacheFolder } from '../python/check-python.js';

const examples = join(import.meta.dirname, '../../docs/examples');

/** Finds a question clear that has no "how many" in it, for a cent; holds back each reply until `reply` resolves. */
async function service({ reply = Promise.resolve() as Promise<unknown> } = {}) {
  const asked: string[] = [];
  const first = deferred<void>();
  const server = await startHttpServer(async (_, response, body) => {
    const { question } = JSON.parse(body) as { readonly question: string };
    asked.push(question);
    first.resolve();
    await reply;
    response.end(JSON.stringify({ score: /how many/i.test(question) ? 0 : 1, usd: 0.01 }));
  });
  return { ...server, asked, first: first.promise };
}

/** The example's own recipe; of it, so many problems. */
async function recipeOf(count = 20): Promise<string> {
  const written = await readFile(join(examples, 'clarity/recipe.yaml'), 'utf8');
  return written.replace(/plugins:\n.*\n/, '').replace('count: 20', `count: ${count}`);
}

describe.each(['clarity/plugin.js', 'clarity-python'])('the example of a stage that pays, %s,', (plugin) => {
  const harnessOf = () =>
    RunHarness.create({
      plugins: [],
      listedPlugins: [join(examples, plugin)],
      withBuiltIn: true,
      cacheFolder,
    });

  it('keeps what is clear, says what it paid, and pays for no question again', async () => {
    await using clarity = await service();
    await using harness = await harnessOf();
    const params = { url: clarity.url };
    const run = await harness.run(await recipeOf(), { params });
    const kept = (await run.rows('clear.dataset')).map(({ question }) => question);
    expect(run.outcome.status).toBe('completed');
    expect(clarity.asked).toHaveLength(20);
    expect(kept).toEqual(clarity.asked.filter((question) => !/how many/i.test(question)));
    expect(run.eventsOf('budget.spent').at(-1)?.data).toMatchObject({
      source: clarity.url,
      total: { usd: expect.closeTo(0.2) },
    });
    const more = await harness.run(await recipeOf(24), { params });
    expect(more.outcome.status).toBe('completed');
    expect(clarity.asked).toHaveLength(24);
    expect(new Set(clarity.asked).size).toBe(24);
  });

  it('has a run that is stopped wait for the reply that is paid for, and keeps it', async () => {
    const reply = deferred<void>();
    await using clarity = await service({ reply: reply.promise });
    await using harness = await harnessOf();
    const waits = (message: string) => /^Waiting for a reply that is paid for, at most 1 minute;/.test(message);
    const handle = await harness.start(await recipeOf(), {
      params: { url: clarity.url },
      sinks: [{ onEvent: ({ type, data }) => void (type === 'log.written' && waits(data.message) && reply.resolve()) }],
    });
    await clarity.first;
    handle.interrupt('enough');
    const stopped = await harness.ended(handle);
    expect(stopped.outcome.status).toBe('interrupted');
    expect(stopped.eventsOf('budget.spent').at(-1)?.data.total.usd).toBe(0.01);
    const resumed = await harness.resume(stopped.runId);
    expect(resumed.outcome.status).toBe('completed');
    expect(clarity.asked).toHaveLength(20);
    expect(resumed.eventsOf('budget.spent').at(-1)?.data.total.usd).toBeCloseTo(0.2);
  });

  it('counts the most where the service fails', async () => {
    await using harness = await harnessOf();
    await using broken = await startHttpServer((_, response) => response.writeHead(500).end());
    const run = await harness.run(await recipeOf(), { params: { url: broken.url } });
    expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'clarity_refused' } });
    expect(run.eventsOf('budget.spent').at(-1)?.data.total.usd).toBe(0.02);
  });
});
