import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startChatServer } from '../chat-server.js';
import { simmer, startSimmer, workFolder } from './cli-process.js';

const answers = 60;
const samples = 2;
const concurrency = 4;
const killAfter = 20;

/** Problems, and what a model answered: twice to each, and the same. */
const plugin = `
import { definePlugin, defineStage, z } from 'simmerkit';
const generations = { type: 'generations', description: 'Answers.' };
export default definePlugin({
  name: 'made', version: '1.0.0', apiVersion: 1,
  stages: {
    answers: defineStage({
      description: 'Answers to problems.',
      options: z.strictObject({ count: z.int() }),
      inputs: {},
      outputs: { generations, problems: { type: 'dataset', description: 'Problems.' } },
      async run({ artifacts, options: { count } }) {
        const numbers = Array.from({ length: count }, (_, index) => index);
        const problem = (n) => ({ id: 'p' + n, question: 'What is q' + n + '?', answer: String(n), given: 'about ' + n });
        const rows = numbers.flatMap((n) => Array.from({ length: ${samples} }, (_, index) => ({
          id: 'p' + n + '/none/' + index, prompt_id: 'p' + n, policy: 'none', sample_index: index, answer: 'Answer: about ' + n,
        })));
        return {
          problems: await artifacts.writeDataset(numbers.map(problem), {
            columns: { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR', given: 'VARCHAR' },
          }),
          generations: await artifacts.writeGenerations(rows, {
            columns: { id: 'VARCHAR', prompt_id: 'VARCHAR', policy: 'VARCHAR', sample_index: 'INTEGER', answer: 'VARCHAR' },
          }),
        };
      },
    }),
  },
});
`;

const stages = {
  'eval/grade': `
      generations: "\${{ stages.made.generations }}"
      dataset: "\${{ stages.made.problems }}"`,
  'curation/verify': `
      dataset: "\${{ stages.made.problems }}"
      column: given
      goldColumn: answer`,
};

const recipe = (uses: keyof typeof stages, url: string, count: number) => `
name: judged
plugins: [./made.mjs]
stages:
  made: { uses: made/answers, with: { count: ${count} } }
  judged:
    uses: ${uses}
    with:${stages[uses]}
      grader:
        uses: eval/judge
        with: { url: "${url}", model: judge, concurrency: ${concurrency}, price: { inputPerMillion: 1, outputPerMillion: 2 } }
`;

/** A judge that says Yes, after a while, and is told to kill whoever asks when it has answered enough. */
async function startJudge() {
  const judge = { asked: new Map<string, number>(), answered: 0, enough: Number.POSITIVE_INFINITY, kill: () => {} };
  const server = await startChatServer(async ({ messages }, response) => {
    const { content } = messages[0]!;
    judge.asked.set(content, (judge.asked.get(content) ?? 0) + 1);
    await wait(30);
    const choices = [{ finish_reason: 'stop', message: { content: 'It is.\nYes' } }];
    response.end(JSON.stringify({ choices, usage: { prompt_tokens: 10, completion_tokens: 10 } }));
    if (++judge.answered >= judge.enough) judge.kill();
  });
  return {
    ...server,
    judge,
    requests: () => [...judge.asked.values()].reduce((sum, count) => sum + count, 0),
  };
}

it.each(Object.keys(stages) as (keyof typeof stages)[])(
  'kill -9 in the middle of %s pays a judge for no answer twice but those in flight',
  async (uses) => {
    await using server = await startJudge();
    const { judge, url, requests } = server;
    await using folder = await workFolder();
    const cwd = folder.path;
    await folder.write('made.mjs', plugin);
    await folder.write('recipe.yaml', recipe(uses, url, answers));

    judge.enough = killAfter;
    const run = startSimmer(['run', 'recipe.yaml'], { cwd });
    judge.kill = () => run.child.kill('SIGKILL');
    expect((await run.ended).signal).toBe('SIGKILL');
    judge.enough = Number.POSITIVE_INFINITY;
    const { code, stderr } = await simmer(['resume', 'latest'], { cwd });
    expect(code, stderr).toBe(0);
    console.log(`${uses}: ${requests()} requests for ${answers} answers with a kill.`);
    expect(judge.asked.size).toBe(answers);
    for (const content of judge.asked.keys()) expect(content).toMatch(/^Question: What is q\d+\?$/m);
    expect(requests() - answers).toBeLessThanOrEqual(concurrency);

    // A later run, with a few answers more, asks for those alone.
    const before = requests();
    await folder.write('recipe.yaml', recipe(uses, url, answers + 3));
    expect(await simmer(['run', 'recipe.yaml'], { cwd })).toMatchObject({ code: 0 });
    expect(requests() - before).toBe(3);
  },
  300_000,
);
