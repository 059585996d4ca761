import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startChatServer } from '../chat-server.js';
import { eventsIn, simmer, startSimmer, workFolder } from './cli-process.js';

const questions = 60;
const concurrency = 4;
const killsAfter = [12, 30];

const recipe = (stage: string, url: string) => `
name: asked
stages:
  pool: { uses: curation/load, with: { sources: { pool: { path: pool.jsonl } } } }
  asked:
    uses: curation/${stage}
    with: { dataset: "\${{ stages.pool.dataset }}", ${asking[stage]?.(url)} }
`;

const who = (url: string) =>
  `url: "${url}", model: teacher, concurrency: ${concurrency}, ` +
  'price: { inputPerMillion: 1, outputPerMillion: 2 }, maxDollars: 5';
/** Options of the stages that ask models. */
const asking: Readonly<Record<string, (url: string) => string>> = {
  distill: who,
  classify: (url) => `${who(url)}, taxonomy: [{ code: A, title: Sums }, { code: B, title: Shapes }]`,
  difficulty: (url) => `solvers: [{ ${who(url)} }], grader: { uses: eval/exact, with: { number: last } }`,
};

it.each(Object.keys(asking))(
  'kill -9 in the middle of %s pays for no answer twice but those in flight',
  async (stage) => {
    const requested = new Map<string, number>();
    const answered: string[] = [];
    let enough = Number.POSITIVE_INFINITY;
    let kill = () => {};
    await using server = await startChatServer(async ({ messages }, response) => {
      const question = /What is q\d+\?/.exec(messages[0]!.content)?.[0] ?? '';
      requested.set(question, (requested.get(question) ?? 0) + 1);
      await wait(30);
      const content = stage === 'classify' ? 'A' : 'It is 4';
      const message = { content, reasoning_content: `thinking of ${question}` };
      const usage = { prompt_tokens: 10, completion_tokens: 100 };
      response.end(JSON.stringify({ choices: [{ finish_reason: 'stop', message }], usage }));
      answered.push(question);
      if (answered.length >= enough) kill();
    });
    await using folder = await workFolder();
    const cwd = folder.path;
    await folder.write('recipe.yaml', recipe(stage, server.url));
    const rows = Array.from({ length: questions }, (_, index) =>
      JSON.stringify({ question: `What is q${index}?`, answer: '4' }),
    );
    await folder.write('pool.jsonl', rows.join('\n'));

    for (const [index, count] of killsAfter.entries()) {
      enough = count;
      const run = startSimmer(index === 0 ? ['run', 'recipe.yaml'] : ['resume', 'latest'], { cwd });
      kill = () => run.child.kill('SIGKILL');
      expect((await run.ended).signal).toBe('SIGKILL');
    }
    enough = Number.POSITIVE_INFINITY;
    const { code, stdout } = await simmer(['resume', 'latest', '--json'], { cwd });
    expect(code).toBe(0);
    const requests = [...requested.values()].reduce((sum, count) => sum + count, 0);
    console.log(`${stage}: ${requests} requests for ${questions} questions over ${killsAfter.length} kills.`);
    expect(requested.size).toBe(questions);
    expect(requests - questions).toBeLessThanOrEqual(killsAfter.length * concurrency);
    expect(answered.length).toBeGreaterThan(killsAfter.at(-1)!);
    const [funnel] = eventsIn(stdout).flatMap((event) => (event.type === 'funnel.counted' ? [event.data] : []));
    const kept = stage === 'difficulty' ? 0 : questions;
    expect(funnel).toMatchObject({ step: 'asked', rowsIn: questions, rowsOut: kept });
    // Counted over all attempts, each answer once.
    const progress = eventsIn(stdout).flatMap((event) =>
      event.type === 'stage.progressed' ? [event.data.figures] : [],
    );
    expect(progress).toContainEqual(expect.objectContaining({ outputTokens: questions * 100 }));
  },
  300_000,
);
