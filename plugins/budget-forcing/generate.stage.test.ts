import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GenerationEvent, GenerationRequest, Grader, Sample } from 'simmerkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { startHttpServer } from '../../test/http-server.js';
import { trainerThat } from '../../test/stub-trainer.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { generate } from './generate.stage.js';

let scratchFolder: string;
beforeEach(async () => {
  scratchFolder = await temporaryFolder();
});

/** A trainer that answers with what it was asked, and dies after so many samples. */
function answeringTrainer(
  samplesUntilDeath = Number.POSITIVE_INFINITY,
  ends: Readonly<Record<string, Sample['thinkingEnd']>> = {},
) {
  const requests: GenerationRequest[] = [];
  const sampleOf = (promptId: string, policyId: string, sampleIndex: number): Sample => ({
    promptId,
    policyId,
    sampleIndex,
    seed: 2n ** 63n + 1n,
    promptTokens: 5,
    thinkingTokenIds: [1, 2, 3],
    thinking: `${promptId} under ${policyId}`,
    answerTokenIds: [4],
    answer: 'Final Answer: 4',
    interventions: [{ kind: 'ended', position: 3, tokenIds: [9], text: 'x', characterOffset: 12 }],
    thinkingEnd: ends[promptId] ?? 'forced',
    finishReason: 'stop',
    sharedThinkingTokens: 0,
  });
  async function* answers(request: GenerationRequest): AsyncIterable<GenerationEvent> {
    requests.push(request);
    let sent = 0;
    // Last prompt first: the stage must not depend on the order of answers.
    for (const { id } of [...request.prompts].reverse()) {
      const { sampleIndices } = request.prompts.find((prompt) => prompt.id === id) ?? {};
      for (const index of sampleIndices ?? Array.from({ length: request.sampling.samples }, (_, one) => one)) {
        for (const policy of request.policies) {
          if (sent++ >= samplesUntilDeath) throw new Error('the trainer died');
          yield { kind: 'sample', sample: sampleOf(id, policy.id, index) };
        }
      }
    }
  }
  return { trainer: trainerThat({ generate: answers }), requests };
}

const dataset = memoryTable(
  { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
  ['a', 'b', 'c'].map((id) => ({ id, question: `What is $& ${id}?`, answer: id })),
);
const inputs = { model: memoryArtifact('model', '/models/student'), dataset };
const options = { trainer: 'student', label: 'tuned', sweep: { thinkingTokens: [8, 16], ignore: [0, 1] } };

describe('budget-forcing/generate from a server', () => {
  const serving = { url: 'http://127.0.0.1:1/v1', model: 'student-7B', retries: 0 };
  const asked = { ...options, server: serving };

  it('asks the server in place of the trainer, and says how to serve a model that it does not reach', async () => {
    const { trainer, requests } = answeringTrainer();
    await expect(runStage(generate, { options: asked, inputs, trainer, scratchFolder })).rejects.toMatchObject({
      code: 'endpoint_unreachable',
      hint: expect.stringContaining('vllm serve /models/student --served-model-name student-7B'),
    });
    expect(requests).toEqual([]);
  });

  it("writes what the server answers, warns of a prompt that is not the trainer's, and refuses another model", async () => {
    let served = 'student-7B';
    await using server = await startHttpServer((request, response) => {
      const body = request.url === '/v1/completions' ? completion : { data: [{ id: served }] };
      response.end(JSON.stringify(body));
    });
    const completion = {
      choices: [{ text: '4', finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 1 },
    };
    const url = `${server.url}/v1`;
    const template = "{{ '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{{ '<|im_start|>system\\n' + content }}";
    await writeFile(join(scratchFolder, 'tokenizer_config.json'), JSON.stringify({ chat_template: template }));
    const of = { ...asked, thinkingFormat: 'none', server: { ...serving, url } };
    const { rows } = await runStage(generate, { options: of, inputs, scratchFolder });
    expect(rows('generations').map(({ answer }) => answer)).toEqual(['4', '4', '4']);
    const model = memoryArtifact('model', scratchFolder);
    const warnings = async (more: object) =>
      (await runStage(generate, { options: { ...of, ...more }, inputs: { ...inputs, model } })).logged
        .filter(({ level }) => level === 'warning')
        .map(({ message }) => message);
    expect(await warnings({})).toEqual([expect.stringContaining('give systemMessage "You are Qwen."')]);
    expect(await warnings({ systemMessage: 'You are Qwen.' })).toEqual([]);
    served = 'base';
    await expect(runStage(generate, { options: of, inputs })).rejects.toMatchObject({
      code: 'model_not_served',
      message: `${url} serves base, and not student-7B.`,
      hint: expect.stringContaining('vllm serve /models/student'),
    });
  });

  it('needs one of both, and a price where dollars are limited', async () => {
    const codes = async (given: object, isUsdLimited = false) => {
      const problems = await generate.check?.(generate.options.parse(given), { recipeFolder: '.', isUsdLimited });
      return problems?.map(({ path, code }) => [path, code]);
    };
    expect(await codes({})).toEqual([['trainer', 'model_missing']]);
    expect(await codes({ trainer: 'student' }, true)).toEqual([]);
    expect(await codes({ server: serving }, true)).toEqual([['server.price', 'price_missing']]);
    expect(await codes({ server: { ...serving, budgets: 'server' }, sweep: { ignore: [1] } })).toEqual([
      ['server.budgets', 'server_cannot_extend'],
    ]);
  });
});

describe('budget-forcing/generate', () => {
  it('writes a row per problem, policy and sample, in that order', async () => {
    const { trainer, requests } = answeringTrainer();
    const result = await runStage(generate, { options, inputs, trainer, scratchFolder, seed: 5 });
    expect(result.rows('generations').map((row) => row.id)).toEqual(
      ['a', 'b', 'c'].flatMap((id) => [`${id}/8/0`, `${id}/16/0`, `${id}/16+1xWait/0`]),
    );
    expect(result.rows('generations')[0]).toMatchObject({
      prompt_id: 'a',
      gold: 'a',
      model: 'tuned',
      policy: '8',
      method: 'budget-forcing',
      max_thinking_tokens: 8,
      thinking_tokens: 3,
      thinking_token_ids: [1, 2, 3],
      interventions: [{ kind: 'ended', position: 3, character_offset: 12, text: 'x', token_ids: [9] }],
      seed: '9223372036854775809',
    });
    expect(requests[0]).toMatchObject({
      model: { kind: 'folder', folder: '/models/student' },
      thinkingFormat: { start: '<|im_start|>think\n', end: '<|im_start|>answer\n', finalAnswerPrompt: 'Final Answer:' },
      sampling: { temperature: 0, seed: 5, samples: 1 },
    });
    expect(requests[0]?.prompts[0]?.prompt).toEqual({
      kind: 'messages',
      messages: [{ role: 'user', content: 'What is $& a?' }],
    });
  });

  it('asks a question of a chat behind the messages before it', async () => {
    const history = [
      { role: 'user', content: 'Hello.' },
      { role: 'assistant', content: 'How can I help?' },
    ];
    const greeting = { role: 'system', content: 'You are the support of Acme.' };
    const asked = async (column: string, rows: readonly unknown[]) => {
      const { trainer, requests } = answeringTrainer();
      const chats = memoryTable(
        { id: 'VARCHAR', question: 'VARCHAR', history: column },
        rows.map((before, index) => ({ id: `chat-${index}`, question: 'Where is it?', history: before })),
      );
      const of = { ...options, thinkingFormat: 'none', systemMessage: 'Be short.' };
      await runStage(generate, { options: of, inputs: { ...inputs, dataset: chats }, trainer });
      return requests[0]?.prompts.map(({ prompt }) => ('messages' in prompt ? prompt.messages : undefined));
    };
    const system = { role: 'system', content: 'Be short.' };
    const question = { role: 'user', content: 'Where is it?' };
    const messages = 'STRUCT("role" VARCHAR, content VARCHAR)[]';
    expect(await asked(messages, [null, history, [greeting, ...history]])).toEqual([
      [system, question],
      [system, ...history, question],
      [greeting, ...history, question],
    ]);
    // A column of that name which is somebody else's.
    expect(await asked('VARCHAR', ['in 1905'])).toEqual([[system, question]]);
  });

  it('asks again only for problems that a killed attempt left unfinished, and ends with the same rows', async () => {
    const whole = await runStage(generate, { options, inputs, trainer: answeringTrainer().trainer });
    const first = runStage(generate, { options, inputs, trainer: answeringTrainer(5).trainer, scratchFolder });
    await expect(first).rejects.toThrow('the trainer died');
    await appendFile(join(scratchFolder, 'samples.jsonl'), '{"promptId":"a","poli');
    const second = answeringTrainer();
    const resumed = await runStage(generate, { options, inputs, trainer: second.trainer, scratchFolder });
    expect(second.requests.map((request) => request.prompts.map((prompt) => prompt.id))).toEqual([['a', 'b']]);
    expect(resumed.rows('generations')).toEqual(whole.rows('generations'));
    const third = answeringTrainer();
    await runStage(generate, { options, inputs, trainer: third.trainer, scratchFolder });
    expect(third.requests).toEqual([]);
  });

  it('asks again for no sample that was finished, only for those that were in flight', async () => {
    const drawing = { ...options, sampling: { temperature: 1, samples: 4 } };
    const whole = await runStage(generate, { options: drawing, inputs, trainer: answeringTrainer().trainer });
    // Three policies a sample: c has three of its four samples, the last of them under one policy alone.
    const first = runStage(generate, {
      options: drawing,
      inputs,
      trainer: answeringTrainer(10).trainer,
      scratchFolder,
    });
    await expect(first).rejects.toThrow('the trainer died');
    const second = answeringTrainer();
    const resumed = await runStage(generate, { options: drawing, inputs, trainer: second.trainer, scratchFolder });
    const asked = second.requests[0]?.prompts.map(({ id, sampleIndices }) => [id, sampleIndices]);
    expect(asked).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['c', [3]],
    ]);
    expect(resumed.rows('generations')).toEqual(whole.rows('generations'));
  });

  it('counts the samples that the context ended before their maximum', async () => {
    const { rows } = await runStage(generate, { options, inputs, trainer: answeringTrainer().trainer });
    // The trainer forces every end after three tokens.
    expect(rows('generations').map((row) => row.context_cut)).toEqual(Array.from({ length: 9 }, () => true));
    const fitting = { ...options, sweep: { thinkingTokens: [3, 'auto'] } };
    const kept = await runStage(generate, { options: fitting, inputs, trainer: answeringTrainer().trainer });
    expect(kept.rows('generations').map((row) => row.context_cut)).toEqual(Array.from({ length: 6 }, () => false));
  });

  it('warns where a model wrote the end of thinking in other tokens than those that end it', async () => {
    const warnings = async (end: string) => {
      const thinkingFormat = { start: '', end, finalAnswerPrompt: 'Final Answer:' };
      const asked = { ...options, sweep: { thinkingTokens: [3] }, thinkingFormat };
      return (await runStage(generate, { options: asked, inputs, trainer: answeringTrainer().trainer })).logged;
    };
    expect(await warnings('</think>\n')).toEqual([]);
    // It thinks "a under 3".
    expect(await warnings('under\n')).toMatchObject([
      { level: 'warning', message: expect.stringContaining('The thinking of 3 of 3 samples has under in it') },
    ]);
  });

  it('warns where a trained model mostly ends its reply within its thinking, and says what to look at', async () => {
    const model = memoryArtifact('model', '/models/tuned', { baseModel: 'artifact://model/base' });
    const warnings = async (ended: readonly string[], of = model) => {
      const { trainer } = answeringTrainer(undefined, Object.fromEntries(ended.map((id) => [id, 'sequence'])));
      const asked = { ...options, sweep: { thinkingTokens: [3, 'auto'] } };
      return (await runStage(generate, { options: asked, inputs: { ...inputs, model: of }, trainer })).logged;
    };
    expect(await warnings(['a'])).toEqual([]);
    expect(await warnings(['a', 'b'])).toEqual([
      {
        level: 'warning',
        message:
          'In more than half of the samples the model ended its whole reply while it was thinking (66.7% at 3, 66.7% at auto). ' +
          'Either the replies that it was trained on do not have <|im_start|>answer where their thinking ends, which ' +
          '`simmer inspect` shows, or it was trained too little to write it. If it was not to think at all, set ' +
          '`thinkingFormat: none`.',
      },
    ]);
    // One that was not trained yet does not know the format, and is measured to be compared with.
    expect(await warnings(['a', 'b'], inputs.model)).toEqual([]);
  });

  it('says how far it is', async () => {
    const { events } = await runStage(generate, { options, inputs, trainer: answeringTrainer().trainer });
    expect(events.at(-1)).toMatchObject({
      type: 'stage.progressed',
      data: { done: 9, total: 9, unit: 'samples', figures: { samples: 9, thinkingTokensPerSample: 3 } },
    });
  });

  it('says how often samples are right so far, with the interval, where a preview is asked for', async () => {
    const questions = new Set<string | undefined>();
    const grader: Grader = {
      grade: async (items) =>
        items.map(({ id, gold, answer, question }) => {
          questions.add(question);
          return {
            id,
            verdict: answer === gold ? 'right' : 'wrong',
            explanation: '',
            parsedAnswer: answer,
            parsedGold: gold,
          };
        }),
    };
    const solved = memoryTable(dataset.columns, [
      ...dataset.allRows.slice(0, 2),
      { id: 'c', question: 'What is 2 + 2?', answer: '4' },
    ]);
    const { events } = await runStage(generate, {
      options: { ...options, promptTemplate: 'Q: {question}', preview: {} },
      inputs: { ...inputs, dataset: solved },
      trainer: answeringTrainer().trainer,
      grader,
    });
    const { figures } = (events.at(-1) as { data: { figures: Record<string, number> } }).data;
    expect(figures.accuracy).toBeCloseTo(3 / 9, 12);
    expect(figures.accuracyLow).toBeCloseTo(0.1206, 3);
    expect(figures.accuracyHigh).toBeCloseTo(0.6458, 3);
    expect([...questions].toSorted()).toEqual(['Q: What is $& a?', 'Q: What is $& b?', 'Q: What is 2 + 2?']);
  });

  it('counts in a preview what a grader that needs no gold answer says of problems that have none', async () => {
    const needless: Grader = {
      needsGold: false,
      grade: async (items) =>
        items.map(({ id, gold, answer }) => ({
          ...{ id, verdict: gold === '' ? 'right' : 'wrong', explanation: '' },
          ...{ parsedAnswer: answer, parsedGold: gold },
        })),
    };
    const { events } = await runStage(generate, {
      options: { ...options, preview: {} },
      inputs: { ...inputs, dataset: memoryTable({ id: 'VARCHAR', question: 'VARCHAR' }, [{ id: 'a', question: 'Q' }]) },
      trainer: answeringTrainer().trainer,
      grader: needless,
    });
    expect((events.at(-1) as { data: { figures: object } }).data.figures).toMatchObject({ accuracy: 1 });
  });

  it('refuses a column of gold answers that the dataset lacks, before anything is generated', async () => {
    const { trainer, requests } = answeringTrainer();
    const misspelt = runStage(generate, { options: { ...options, goldColumn: 'anwser' }, inputs, trainer });
    await expect(misspelt).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining('`anwser`'),
    });
    expect(requests).toEqual([]);
  });

  it('asks for answers without thinking, under one policy', async () => {
    const { trainer, requests } = answeringTrainer();
    const plain = { trainer: 'student', thinkingFormat: 'none' };
    const result = await runStage(generate, { options: plain, inputs, trainer });
    expect(requests[0]?.thinkingFormat).toBeUndefined();
    expect(result.rows('generations')).toHaveLength(3);
    expect(result.rows('generations')[0]).toMatchObject({ policy: 'none', method: 'none' });
  });

  it('refuses a dataset that has an id twice', async () => {
    const twice = memoryTable(dataset.columns, [...dataset.allRows, dataset.allRows[0]!]);
    const run = runStage(generate, {
      options,
      inputs: { ...inputs, dataset: twice },
      trainer: answeringTrainer().trainer,
    });
    await expect(run).rejects.toMatchObject({ code: 'invalid_problem' });
  });

  it('finds samples that would all be the same before it runs', async () => {
    const parsed = generate.options.parse({ trainer: 'student', sampling: { samples: 4 } });
    const problems = await generate.check?.(parsed, { recipeFolder: '.' });
    expect(problems?.map((problem) => problem.code)).toEqual(['equal_samples']);
  });
});
