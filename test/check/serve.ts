import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { eventsIn, simmer, startSimmer } from '../e2e/cli-process.js';
import { freePort } from '../free-port.js';
import { root, startPython } from '../python/check-python.js';
import { smolLm2Folder, trainerPackages, trainerPythonWith } from '../python/trainer-script.js';

/**
 * `npm run check:serve [-- --questions N --tokens N]`: `curation/distill`, `classify` and `difficulty` against
 * transformers' own `serve` with SmolLM2, their core killed in the middle of distilling. What counts the requests stands in
 * front of the server. Ends in one line of JSON; exits 1 where a question was paid for twice or anything is missing.
 */
const { values } = parseArgs({
  options: { questions: { type: 'string', default: '8' }, tokens: { type: 'string', default: '32' } },
});
const questions = Number(values.questions);
const tokens = Number(values.tokens);
const concurrency = 2;
const killAfter = Math.ceil(questions / 3);

const recipe = (url: string, model: string) => `
name: served
seed: 1
stages:
  pool: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  traces:
    uses: curation/distill
    with:
      dataset: "\${{ stages.pool.dataset }}"
      url: ${url}
      model: ${model}
      maxTokens: ${tokens}
      withoutReasoning: keep
      truncated: keep
      concurrency: ${concurrency}
      price: { inputPerMillion: 1, outputPerMillion: 2 }
      maxDollars: 1
  hard:
    uses: curation/difficulty
    with:
      dataset: "\${{ stages.pool.dataset }}"
      solvers: [{ label: smollm2, url: "${url}", model: "${model}", concurrency: ${concurrency} }]
      temperature: 0
      maxTokens: ${tokens}
      grader: { uses: eval/exact, with: { number: last } }
  domains:
    uses: curation/classify
    with:
      dataset: "\${{ stages.traces.dataset }}"
      url: ${url}
      model: ${model}
      concurrency: ${concurrency}
      attempts: 1
      maxTokens: 8
      taxonomy: [{ code: "A", title: Arithmetic }, { code: "G", title: Geometry }]
`;

/** Stands in front of the server, and counts what it is asked. */
async function countingProxy(port: number, onAnswer: (answered: number) => void) {
  const asked = new Map<string, number>();
  let answered = 0;
  const server = createServer((incoming, outgoing) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const body = Buffer.concat(parts);
      if (incoming.method === 'POST') {
        const text = body.toString('utf8');
        asked.set(text, (asked.get(text) ?? 0) + 1);
      }
      const headers = { 'content-type': 'application/json', 'content-length': body.length };
      const onward = forward({ port, path: incoming.url, method: incoming.method, headers }, (response) => {
        outgoing.writeHead(response.statusCode ?? 502, { 'content-type': 'application/json' });
        response.pipe(outgoing);
        response.once('end', () => onAnswer(++answered));
      });
      onward.once('error', () => outgoing.destroy());
      onward.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { asked, port: (server.address() as AddressInfo).port, close: () => server.close() };
}

async function untilItServes(port: number, isGone: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 300_000; ; ) {
    if (isGone()) throw new Error('transformers serve ended before it served.');
    if (performance.now() > deadline) throw new Error('transformers serve does not serve after 5 minutes.');
    const isHealthy = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(10_000) }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isHealthy) return;
    await wait(250);
  }
}

const packages = await trainerPackages(join(root, 'test/check/serve.lock.txt'));
const model = await smolLm2Folder();
const folder = await mkdtemp(join(tmpdir(), 'simmer-serve-'));
const port = await freePort();
const { python, env } = await trainerPythonWith([packages]);
// It answers one after the other: more threads gain nothing with a model this small, and wait for each other on a busy machine.
const server = startPython({ python, env: { ...env, OMP_NUM_THREADS: '1' } }, [
  ...['-m', 'transformers.cli.transformers', 'serve', model],
  ...['--host', '127.0.0.1', '--port', String(port)],
]);
let isGone = false;
server.once('exit', () => {
  isGone = true;
});
process.once('exit', () => server.kill('SIGKILL'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
server.stdout.resume();
try {
  await untilItServes(port, () => isGone);
  let kill = () => {};
  const proxy = await countingProxy(port, (answered) => {
    if (answered === killAfter) kill();
  });
  const rows = Array.from({ length: questions }, (_, index) => ({
    question: `What is ${index + 2} + ${3 * index + 5}?`,
    answer: String(4 * index + 7),
  }));
  await writeFile(join(folder, 'pool.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  // One stage asks at a time, so that the kill falls into the distillation.
  await writeFile(join(folder, 'simmer.config.yaml'), 'resources: { cpus: 1 }\n');
  await writeFile(join(folder, 'recipe.yaml'), recipe(`http://127.0.0.1:${proxy.port}/v1`, model));
  const first = startSimmer(['run', 'recipe.yaml', '--json'], { cwd: folder });
  kill = () => first.child.kill('SIGKILL');
  await first.ended;
  kill = () => {};
  const requestsBeforeKill = [...proxy.asked.values()].reduce((sum, count) => sum + count, 0);
  const { code, stdout, stderr } = await simmer(['resume', 'latest', '--json'], { cwd: folder });
  process.stderr.write(stderr);
  proxy.close();
  const events = eventsIn(stdout);
  const funnel = Object.fromEntries(
    events.flatMap((event) =>
      event.type === 'funnel.counted' ? [[event.data.step, [event.data.rowsIn, event.data.rowsOut]]] : [],
    ),
  );
  const metrics = events.flatMap((event) => (event.type === 'run.completed' ? [event.data.metrics] : []))[0] ?? {};
  const requests = [...proxy.asked.values()].reduce((sum, count) => sum + count, 0);
  const repeated = requests - proxy.asked.size;
  const isWhole = code === 0 && proxy.asked.size === 3 * questions && funnel.traces?.[1] === questions;
  console.log(
    JSON.stringify({
      name: 'serve',
      questions,
      requests,
      requestsBeforeKill,
      distinctRequests: proxy.asked.size,
      askedAgain: repeated,
      funnel,
      outputTokens: metrics['distill.output-tokens'],
      dollars: metrics['distill.dollars'],
      right: metrics['hard.smollm2.right'],
      goals: { askedAgain: `at most ${concurrency}, what was under way at the kill` },
    }),
  );
  process.exitCode = isWhole && repeated <= concurrency ? 0 : 1;
} finally {
  server.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
}
