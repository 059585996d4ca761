import { expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { startChatServer } from '../chat-server.js';
import { startSimmer, workFolder } from './cli-process.js';

const concurrency = 4;

const recipe = (url: string, problems: number) => `
name: asked
stages:
  pool: { uses: curation/generate-problems, with: { count: ${problems} } }
  traces:
    uses: curation/distill
    with: { dataset: "\${{ stages.pool.dataset }}", url: "${url}", model: teacher, concurrency: ${concurrency} }
`;

it('two processes on one home that ask the same at once pay once', async () => {
  const asked: string[] = [];
  const { promise: bothAsk, resolve: answer } = deferred<void>();
  await using server = await startChatServer(async (request) => {
    asked.push(JSON.stringify(request));
    if (asked.length === 2 * concurrency) answer();
    await bothAsk;
    const message = { content: 'A', reasoning_content: 'thinking' };
    const usage = { prompt_tokens: 10, completion_tokens: 4 };
    return { choices: [{ finish_reason: 'stop', message }], usage };
  });
  const { url } = server;
  await using folder = await workFolder();
  await folder.write('some.yaml', recipe(url, 20));
  await folder.write('more.yaml', recipe(url, 21));
  const first = startSimmer(['run', 'some.yaml'], { cwd: folder.path });
  await first.printed('traces: started');
  const second = startSimmer(['run', 'more.yaml'], { cwd: folder.path });
  expect(await first.ended).toMatchObject({ code: 0 });
  expect(await second.ended).toMatchObject({ code: 0 });
  expect(new Set(asked).size).toBe(21);
  expect(asked).toHaveLength(21);
});
