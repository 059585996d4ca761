import { type GenerationEvent, type GenerationRequest, random, type Sample } from 'simmerkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { trainerThat } from '../../test/stub-trainer.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { generate } from './generate.stage.js';

let scratchFolder: string;
beforeEach(async () => {
  scratchFolder = await temporaryFolder();
});

/** Thinks for 1 to 40 tokens, drawn from seed, prompt and sample; says in its text which draw it is. */
function drawingTrainer(samplesUntilDeath = Number.POSITIVE_INFINITY) {
  const requests: GenerationRequest[] = [];
  let sent = 0;
  async function* generated(request: GenerationRequest): AsyncIterable<GenerationEvent> {
    requests.push(request);
    // Last prompt first: outputs must not be matched by their order.
    for (const { id } of [...request.prompts].reverse()) {
      for (const policy of request.policies) {
        for (let index = 0; index < request.sampling.samples; index++) {
          if (sent++ >= samplesUntilDeath) throw new Error('the trainer died');
          const wanted = 1 + random(request.sampling.seed, `${id}/${index}`).integer(40);
          const limit = policy.maxThinkingTokens ?? 1000;
          const sample: Sample = {
            promptId: id,
            policyId: policy.id,
            sampleIndex: index,
            seed: BigInt(request.sampling.seed),
            promptTokens: 5,
            thinkingTokenIds: Array.from({ length: Math.min(wanted, limit) }, () => 1),
            thinking: `${id}#${index}`,
            answerTokenIds: [4],
            answer: `Final Answer: ${id}`,
            interventions: [],
            thinkingEnd: wanted <= limit ? 'natural' : 'forced',
            finishReason: 'stop',
            sharedThinkingTokens: 0,
          };
          yield { kind: 'sample', sample };
        }
      }
    }
  }
  return { trainer: trainerThat({ generate: generated }), requests };
}

const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
const dataset = memoryTable(
  { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
  ids.map((id) => ({ id, question: `What is ${id}?`, answer: id })),
);
const inputs = { model: memoryArtifact('model', '/models/student'), dataset };
const rejection = {
  trainer: 'student',
  sweep: { thinkingTokens: [], rejection: { thinkingTokens: [4, 12, 30], attempts: 6 } },
  sampling: { temperature: 1, samples: 2 },
};

describe('rejection sampling', () => {
  it('takes the first draw that fits, each output in its own place', async () => {
    const { trainer, requests } = drawingTrainer();
    const result = await runStage(generate, { options: rejection, inputs, trainer, scratchFolder, seed: 3 });
    const rows = result.rows('generations');
    expect(rows).toHaveLength(ids.length * 3 * 2);
    for (const row of rows) {
      expect(row.thinking).toBe(`${row.prompt_id}#${row.sample_index}`);
      const limit = Number(row.max_thinking_tokens);
      const draws = Array.from({ length: 6 }, (_, attempt) => {
        const seed = random(3, `rejection/${attempt}`).integer(2 ** 31);
        return 1 + random(seed, `${row.prompt_id}/${row.sample_index}`).integer(40);
      });
      const first = draws.findIndex((tokens) => tokens <= limit);
      if (first < 0) {
        expect(row).toMatchObject({ answer: '', finish_reason: 'rejected', attempts: 6 });
      } else {
        expect(row).toMatchObject({ answer: `Final Answer: ${row.prompt_id}`, attempts: first + 1 });
        expect(row.thinking_tokens).toBe(draws[first]);
      }
    }
    expect(rows.some((row) => row.finish_reason === 'rejected')).toBe(true);
    expect(rows.some((row) => row.finish_reason === 'stop')).toBe(true);
    // The limits share their draws: at most one request an attempt, with the largest limit only.
    expect(requests.length).toBeLessThanOrEqual(6);
    expect(requests.every(({ policies }) => policies.length === 1 && policies[0]?.maxThinkingTokens === 30)).toBe(true);
    // Problems that have what they need are not drawn again.
    expect(requests.at(-1)!.prompts.length).toBeLessThan(ids.length);
  });

  it('goes on after a kill with the draws that it has, and ends with the same rows', async () => {
    const whole = await runStage(generate, { options: rejection, inputs, trainer: drawingTrainer().trainer, seed: 3 });
    const killed = runStage(generate, {
      options: rejection,
      inputs,
      trainer: drawingTrainer(17).trainer,
      scratchFolder,
      seed: 3,
    });
    await expect(killed).rejects.toThrow('the trainer died');
    const { trainer } = drawingTrainer();
    const resumed = await runStage(generate, { options: rejection, inputs, trainer, scratchFolder, seed: 3 });
    expect(resumed.rows('generations')).toEqual(whole.rows('generations'));
  });
});

it('asks for conditional control in the prompt, which the row holds', async () => {
  const { trainer, requests } = drawingTrainer();
  const options = {
    trainer: 'student',
    sweep: { thinkingTokens: [8], tokenConditional: [16], classConditional: ['short'], forceConditional: true },
  };
  const result = await runStage(generate, { options, inputs, trainer });
  expect(requests.map(({ policies }) => policies.map(({ id }) => id))).toEqual([
    ['8'],
    ['tokens16', 'tokens16+forced'],
    ['short'],
  ]);
  const rows = result.rows('generations').filter((row) => row.prompt_id === 'b');
  expect(rows.map((row) => [row.policy, row.method, row.max_thinking_tokens, row.prompt])).toEqual([
    ['8', 'budget-forcing', 8, 'What is b?'],
    ['tokens16', 'token-conditional', 16, 'What is b?\n\nThink for up to 16 tokens.'],
    ['tokens16+forced', 'token-conditional+forced', 16, 'What is b?\n\nThink for up to 16 tokens.'],
    ['short', 'class-conditional', null, expect.stringContaining('Answer after a short amount of thinking.')],
  ]);
});

it('refuses a dataset without a problem', async () => {
  const empty = memoryTable(dataset.columns, []);
  const run = runStage(generate, {
    options: { trainer: 'student' },
    inputs: { ...inputs, dataset: empty },
    trainer: drawingTrainer().trainer,
  });
  await expect(run).rejects.toMatchObject({ code: 'empty_dataset' });
});
