import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { eventsIn, simmer, startSimmer, workFolder } from './cli-process.js';

const questions = 60;
const concurrency = 4;
const killsAfter = [12, 30];

const recipe = (url: string) => `
name: distilled
stages:
  pool: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  traces:
    uses: curation/distill
    with:
      dataset: "\${{ stages.pool.dataset }}"
      url: ${url}
      model: teacher
      concurrency: ${concurrency}
      price: { inputPerMillion: 1, outputPerMillion: 2 }
      maxDollars: 5
`;

it('kill -9 in the middle of distilling pays for no answer twice but those in flight', async () => {
  const requested = new Map<string, number>();
  const answered: string[] = [];
  let enough = Number.POSITIVE_INFINITY;
  let kill = () => {};
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', async () => {
      const question = JSON.parse(body).messages[0].content as string;
      requested.set(question, (requested.get(question) ?? 0) + 1);
      await wait(30);
      const message = { content: `${question} is 4`, reasoning_content: `thinking of ${question}` };
      const usage = { prompt_tokens: 10, completion_tokens: 100 };
      response.end(JSON.stringify({ choices: [{ finish_reason: 'stop', message }], usage }));
      answered.push(question);
      if (answered.length >= enough) kill();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('recipe.yaml', recipe(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`));
  const rows = Array.from({ length: questions }, (_, index) => JSON.stringify({ question: `What is q${index}?` }));
  await folder.write('pool.jsonl', rows.join('\n'));

  for (const [index, count] of killsAfter.entries()) {
    enough = count;
    const run = startSimmer(index === 0 ? ['run', 'recipe.yaml'] : ['resume', 'latest'], { cwd });
    kill = () => run.child.kill('SIGKILL');
    expect((await run.ended).signal).toBe('SIGKILL');
  }
  enough = Number.POSITIVE_INFINITY;
  const { code, stdout } = await simmer(['resume', 'latest', '--json'], { cwd });
  server.close();
  expect(code).toBe(0);
  const requests = [...requested.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${requests} requests for ${questions} questions over ${killsAfter.length} kills.`);
  expect(requested.size).toBe(questions);
  expect(requests - questions).toBeLessThanOrEqual(killsAfter.length * concurrency);
  expect(answered.length).toBeGreaterThan(killsAfter.at(-1)!);
  const completed = eventsIn(stdout).find((event) => event.type === 'run.completed');
  expect(completed?.data).toMatchObject({ metrics: { 'distill.output-tokens': questions * 100 } });
}, 60_000);
