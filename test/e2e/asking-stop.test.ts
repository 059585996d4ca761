import type { ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { startHttpServer } from '../http-server.js';
import { eventsIn, simmer, startSimmer, workFolder } from './cli-process.js';
import { serve } from './serving.js';

const questions = 24;
const concurrency = 4;
/** Ctrl-C comes with so many requests, over all runs. */
const stopsAt = [6, 16];

const who = (url: string) =>
  `url: "${url}", model: teacher, concurrency: ${concurrency}, price: { inputPerMillion: 1, outputPerMillion: 2 }`;
const distilled = (url: string) => `uses: curation/distill, with: { ${pool}, ${who(url)} }`;
const pool = `dataset: "\${{ stages.pool.dataset }}"`;
/** Stages that ask servers. */
const asking: Readonly<Record<string, (url: string) => string>> = {
  distill: distilled,
  'distill without a price': (url) => distilled(url).replace(/, price: \{[^}]*\}/, ''),
  'a judge': (url) =>
    `uses: curation/verify, with: { ${pool}, column: question, goldColumn: answer, grader: { uses: eval/judge, with: { ${who(url)} } } }`,
  'budget forcing': (url) =>
    `uses: budget-forcing/openai-compatible, with: { ${pool}, ${who(url)}, thinkingFormat: r1, ` +
    'sweep: { thinkingTokens: [4, 8] }, budgets: continuation, chatTemplate: chatml }',
};

const recipe = (name: string, url: string) => `
name: asked
stages:
  pool: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  asked: { ${asking[name]?.(url)} }
`;

interface Request {
  readonly url: string;
  readonly body: string;
}

/** Says something to everything that a stage may ask, if it does not fail. */
function answer({ url, body }: Request): unknown {
  if (url.endsWith('/models')) return { data: [{ id: 'teacher' }] };
  const usage = { prompt_tokens: 10, completion_tokens: 4 };
  if (url.endsWith('/chat/completions')) {
    const content = body.includes('Is the answer below') ? 'Yes' : 'A';
    return { choices: [{ finish_reason: 'stop', message: { content, reasoning_content: 'thinking' } }], usage };
  }
  return { choices: [{ finish_reason: 'length', text: 'abcd' }], usage };
}

it.each(Object.keys(asking))(
  'Ctrl-C in the middle of %s loses no reply that the server was under way with',
  async (name) => {
    const asked: string[] = [];
    /** What was answered whole, and so is paid for. */
    const paid: string[] = [];
    let stop = () => {};
    /** From when the run is told to stop until it waits for what is under way. */
    let stopping: Promise<unknown> = Promise.resolve();
    const respond = async (request: Request, response: ServerResponse) => {
      const isCounted = !request.url.endsWith('/models') && !request.url.endsWith('/tokenize');
      if (isCounted) {
        asked.push(request.body);
        if (stopsAt.includes(asked.length)) stop();
        await wait(20 * (asked.length % 5));
        await stopping;
        if (asked.length % 9 === 0) return response.writeHead(503).end('{}');
      }
      if (request.url.endsWith('/tokenize')) return response.writeHead(404).end();
      if (isCounted) paid.push(request.body);
      return response.end(JSON.stringify(answer(request)));
    };
    await using server = await startHttpServer(({ url = '' }, response, body) => respond({ url, body }, response));
    await using folder = await workFolder();
    const cwd = folder.path;
    await folder.write('recipe.yaml', recipe(name, `${server.url}/v1`));
    const rows = Array.from({ length: questions }, (_, index) =>
      JSON.stringify({ question: `What is q${index}?`, answer: '4' }),
    );
    await folder.write('pool.jsonl', rows.join('\n'));

    const told: string[] = [];
    let stops = 0;
    for (let code: number | null = 130; code !== 0; ) {
      const run = startSimmer([...(stops === 0 ? ['run', 'recipe.yaml'] : ['resume', 'latest']), '--json'], { cwd });
      let askedAtStop = 0;
      stop = () => {
        askedAtStop = asked.length;
        stopping = run.printed('Waiting for ');
        run.child.kill('SIGINT');
      };
      const end = await run.ended;
      code = end.code;
      if (code === 0) break;
      expect(end, JSON.stringify(end)).toMatchObject({ code: 130 });
      stops++;
      // What was on its way when the signal came.
      expect(asked.length - askedAtStop).toBeLessThan(concurrency);
      const warnings = eventsIn(end.stdout).flatMap((event) =>
        event.type === 'log.written' && event.data.level === 'warning' ? [event.data.message] : [],
      );
      told.push(...warnings.filter((message) => message.startsWith('Waiting for ')));
    }
    expect(stops).toBe(stopsAt.length);
    expect(told).toHaveLength(stopsAt.length);
    expect(told[0]).toMatch(
      /^Waiting for (a reply that is|\d replies that are) paid for, at most \d+ minutes; a second Ctrl-C drops (it|them)\.$/,
    );
    const twice = paid.filter((body, index) => paid.indexOf(body) !== index);
    expect(twice).toEqual([]);
    expect(paid.length).toBeGreaterThanOrEqual(questions);
  },
  300_000,
);

/** A server that answers nothing, and a recipe that asks it one question. */
async function silence() {
  const { promise: asked, resolve: isAsked } = deferred<void>();
  const server = await startHttpServer(() => isAsked());
  const folder = await workFolder();
  const pool = 'pool: { uses: curation/generate-problems, with: { count: 1 } }';
  await folder.write('recipe.yaml', recipe('distill', `${server.url}/v1`).replace(/pool: \{.*/, pool));
  const end = async () => {
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  };
  return { cwd: folder.path, asked, [Symbol.asyncDispose]: end };
}

const waiting = 'Waiting for a reply that is paid for, at most 30 minutes';

it('ends at once by a second Ctrl-C where the server answers nothing', async () => {
  await using silent = await silence();
  const run = startSimmer(['run', 'recipe.yaml'], silent);
  await silent.asked;
  run.child.kill('SIGINT');
  await run.printed(`${waiting}; a second Ctrl-C drops it.`);
  const again = setInterval(() => run.child.kill('SIGINT'), 500);
  expect(await run.ended).toMatchObject({ code: 130 });
  clearInterval(again);
});

it('ends at once by simmer cancel --now from another terminal', async () => {
  await using silent = await silence();
  const run = startSimmer(['run', 'recipe.yaml'], silent);
  await silent.asked;
  const { code, stdout } = await simmer(['cancel', 'latest', '--now'], silent);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('is stopped') });
  expect(await run.ended).toMatchObject({ code: 130, stdout: expect.stringContaining(waiting) });
});

it('ends at once on a server by simmer cancel --now, also where another waits for the reply', async () => {
  await using silent = await silence();
  const { cwd } = silent;
  await using server = await serve(cwd);
  const there = { cwd, env: { SIMMER_SERVER: server.address } };
  const run = startSimmer(['run', 'recipe.yaml'], there);
  await silent.asked;
  const patient = startSimmer(['cancel', 'latest'], there);
  await run.printed(`${waiting}; \`simmer cancel`);
  await run.printed('--now` drops it.');
  expect(await simmer(['cancel', 'latest', '--now'], there)).toMatchObject({ code: 0 });
  expect(await patient.ended).toMatchObject({ code: 0 });
  expect(await run.ended).toMatchObject({ code: 130 });
});
