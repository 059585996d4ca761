import {
  type Facts,
  type KeptFolders,
  type KeptReply,
  ReplyJournal,
  replyDigest,
  type StageEstimate,
  type StageEstimateContext,
  type TrainerJob,
} from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { classify } from './classify.stage.js';
import { difficulty } from './difficulty.stage.js';
import { distill } from './distill.stage.js';
import { mix } from './mix.stage.js';
import { select } from './select.stage.js';
import { split } from './split.stage.js';

const price = { inputPerMillion: 1, outputPerMillion: 10 };
const served = { url: 'http://localhost:8000/v1', model: 'm' };

/** What stages are told here: a trainer takes a second a prompt. */
function around(inputs: StageEstimateContext['inputs'], kept: KeptFolders = { others: [] }) {
  const jobs: TrainerJob[] = [];
  const context: StageEstimateContext = {
    inputs,
    recipeFolder: '.',
    cacheFolder: '.',
    trainer: () => async (job) => {
      jobs.push(job);
      return job.kind === 'generation' && job.prompts !== undefined ? { seconds: job.prompts, isAtMost: true } : {};
    },
    grader: () => Promise.resolve(undefined),
    kept: async () => kept,
  };
  return { context, jobs };
}

const rows = (count: number): Facts => ({ rows: count });

describe('curation/difficulty', () => {
  const estimate = async (options: object, inputs: StageEstimateContext['inputs']) => {
    const { context, jobs } = around(inputs);
    return { of: (await difficulty.estimate?.(difficulty.options.parse(options), context)) as StageEstimate, jobs };
  };

  it('takes what all attempts of servers cost, every answer as long as it may be', async () => {
    const solvers = [
      { ...served, label: 'small', price },
      { ...served, label: 'large', price, concurrency: 4 },
    ];
    const { of } = await estimate({ solvers, attempts: 2, temperature: 1, maxTokens: 1000 }, { dataset: rows(50) });
    expect(of).toMatchObject({ isAtMost: true, figures: { requests: 200, requestsAtOnce: 20, outputTokens: 200_000 } });
    expect(of.usd).toBeCloseTo((200 * (512 + 10_000)) / 1e6);
    expect(of.seconds).toBeUndefined();
    expect(of.outputs).toMatchObject({ dataset: { rows: 50, isAtMost: true }, attempts: { rows: 200 } });
  });

  it('has trainers generate side by side, each its own model', async () => {
    const solvers = [{ trainer: 'a' }, { ...served, price }, { trainer: 'b' }];
    const models = [{ config: { name: 'A' } }, { config: { name: 'B' } }];
    const { of, jobs } = await estimate({ solvers, maxTokens: 1000 }, { dataset: rows(50), models });
    expect(jobs).toMatchObject([
      { kind: 'generation', model: models[0], prompts: 50, tokensPerPrompt: 1000, longestSequence: 1512 },
      { kind: 'generation', model: models[1], prompts: 50 },
    ]);
    // How long the server takes is not known, nor then what the whole costs.
    expect([of.seconds, of.usd]).toEqual([undefined, undefined]);
    const alone = await estimate({ solvers: [{ trainer: 'a' }, { trainer: 'b' }] }, { dataset: rows(50), models });
    expect(alone.of.seconds).toBe(50);
  });

  it('takes nothing where attempts were graded elsewhere', async () => {
    const { of } = await estimate({}, { dataset: rows(50) });
    expect(of).toEqual({
      outputs: { dataset: { rows: 50, isAtMost: true }, decisions: { rows: 50 }, attempts: { rows: 0 } },
    });
  });
});

describe('curation/classify', () => {
  const estimate = async (options: object) => {
    const { context } = around({ dataset: rows(10) });
    return (await classify.estimate?.(classify.options.parse(options), context)) as StageEstimate;
  };

  it('sends the classes with each question, as often as it may be asked', async () => {
    const msc = await estimate({ ...served, price });
    const two = await estimate({
      ...served,
      price,
      taxonomy: [
        { code: 'a', title: 'A' },
        { code: 'b', title: 'B' },
      ],
    });
    expect(msc.figures).toMatchObject({ requests: 30, outputTokens: 30 * 256 });
    expect(msc.figures?.inputTokens).toBeGreaterThan(30 * (512 + 300));
    expect(two.figures?.inputTokens).toBeLessThan(30 * (512 + 100));
  });

  it('takes nothing where the domain is in a column', async () => {
    expect((await estimate({ fromColumn: 'topic' })).figures).toBeUndefined();
  });
});

describe('curation/distill', () => {
  const estimate = async (options: object, dataset: Facts, kept?: KeptFolders) => {
    const { context } = around({ dataset }, kept);
    return (await distill.estimate?.(distill.options.parse({ ...served, ...options }), context)) as StageEstimate;
  };

  it('costs no more than its cap, and makes rows of what is asked at most', async () => {
    expect((await estimate({ price, maxTokens: 1000 }, rows(10))).usd).toBeCloseTo((10 * (512 + 10_000)) / 1e6);
    const capped = await estimate({ price, maxTokens: 1000, maxDollars: 0.01 }, rows(10));
    expect(capped.usd).toBe(0.01);
    expect(capped.outputs?.dataset).toEqual({ rows: 10, tokensPerRow: 1512, isAtMost: true });
  });

  it('says what is missing: a price, the rows, or how fast it may ask', async () => {
    expect(await estimate({}, rows(10))).toMatchObject({
      notes: [expect.any(String), expect.stringContaining('`price`')],
    });
    expect((await estimate({}, rows(10))).usd).toBeUndefined();
    expect((await estimate({ price }, {})).notes).toEqual([expect.stringContaining('expect: { dataset: { rows } }')]);
    expect((await estimate({ price, requestsPerMinute: 1 }, rows(120))).notes).toEqual([
      '1 requests a minute take 2 hours at least.',
    ]);
  });

  it('counts what is answered already, and says where others may be', async () => {
    const own = await temporaryFolder();
    const reply = { finish: 'stop', inputTokens: 1, outputTokens: 1, dollars: 1, maxTokens: 1000 };
    await using journal = await ReplyJournal.open<KeptReply>(own);
    for (let id = 0; id < 8; id++) await journal.add({ of: replyDigest(id), id: String(id), ...reply });
    const some = await estimate({ price, maxTokens: 1000 }, rows(10), { own, others: [] });
    expect(some.usd).toBeCloseTo((2 * (512 + 10_000)) / 1e6);
    expect(some.notes?.[0]).toBe('Of at most 10 questions 8 are answered already, and are not asked again.');
    const others = await estimate({ price, maxTokens: 1000 }, rows(10), { others: ['other'] });
    expect(others.usd).toBeCloseTo((10 * (512 + 10_000)) / 1e6);
    expect(others.notes?.[0]).toBe('What earlier runs were answered to the same questions is not paid for again.');
  });
});

describe('stages that only pass rows on', () => {
  const outputsOf = (stage: typeof select | typeof split | typeof mix, options: object, inputs: object) =>
    // biome-ignore lint/suspicious/noExplicitAny: each stage has options of its own
    (stage as any).estimate(stage.options.parse(options), around(inputs as StageEstimateContext['inputs']).context)
      .outputs;

  it('say how many there are at most', () => {
    expect(outputsOf(select, { count: 20 }, { dataset: rows(50) }).dataset).toEqual({ rows: 20, isAtMost: true });
    expect(outputsOf(select, { count: 20, method: 'all' }, { dataset: rows(50) }).dataset.rows).toBe(50);
    expect(outputsOf(split, { heldout: 0.1, train: 30 }, { dataset: rows(50) })).toEqual({
      train: { rows: 30 },
      heldout: { rows: 5 },
    });
    expect(outputsOf(mix, {}, { datasets: [rows(50), rows(10)] }).dataset.rows).toBe(60);
    expect(outputsOf(mix, {}, { datasets: [rows(50), {}] })).toEqual({});
  });
});
