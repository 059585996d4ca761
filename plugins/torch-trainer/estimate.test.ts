import { readFileSync } from 'node:fs';
import { builtInHardware, type Hyperparameters, type TrainerJob, type WorkEstimate } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { calibrationRuns } from './calibration.js';
import { configOf } from './config-of.js';
import { estimateJob } from './estimate.js';
import { knownConfig } from './known-models.js';
import { mixtral8x7B } from './mixtral.fixture.js';
import { shapeOf } from './model-shape.js';
import { jobOf, s1Job } from './s1-job.fixture.js';

const docs = new URL('../../docs/estimates.md', import.meta.url);

describe('the estimates of the torch trainer', () => {
  const runs = calibrationRuns();
  const heldOut = runs.filter(({ role }) => role === 'held out');

  it.each(heldOut.map((run) => [run.run, run] as const))('come within 30%% of %s', (_, { predicted, published }) => {
    expect(predicted / published).toBeGreaterThan(0.7);
    expect(predicted / published).toBeLessThan(1.3);
  });

  it('are fixed by other runs than those they are held against, and not by those of s1', () => {
    const fitted = new Set(runs.filter(({ role }) => role === 'fit').map(({ source }) => source));
    expect(heldOut.filter(({ source }) => fitted.has(source))).toEqual([]);
    expect(heldOut.length).toBeGreaterThanOrEqual(4);
    expect(heldOut.filter(({ run }) => run.startsWith('s1-32B'))).toHaveLength(1);
  });

  it('stand in the docs as the code computes them', () => {
    const text = readFileSync(docs, 'utf8');
    const table = heldOut.map(({ run, role, unit, predicted, published }) => {
      const [one, other] = [predicted, published].map((value) => value.toPrecision(4));
      return `| ${run} | ${role} | ${Number(one)} | ${Number(other)} | ${(predicted / published).toFixed(2)} | ${unit} |`;
    });
    expect(text).toContain(table.join('\n'));
    const ratios = runs.filter(({ role }) => role === 'fit').map(({ predicted, published }) => predicted / published);
    const [least, most] = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
    expect(text).toContain(`fitted to ${ratios.length} runs of llm-foundry`);
    expect(text).toContain(`${least} to ${most} of what was published`);
  });
});

describe('the sizes of well-known models', () => {
  it.each([
    ['HuggingFaceTB/SmolLM2-135M-Instruct', 134.5e6],
    ['Qwen/Qwen2.5-0.5B', 494e6],
    ['Qwen/Qwen2.5-7B-Instruct', 7.62e9],
    ['Qwen/Qwen2.5-32B-Instruct', 32.76e9],
    ['meta-llama/Llama-3.1-8B', 8.03e9],
    ['meta-llama/Llama-3.2-3B', 3.21e9],
    ['meta-llama/Llama-3.1-70B-Instruct', 70.55e9],
  ])('give %s the parameters that its card says', (repository, parameters) => {
    const shape = shapeOf(knownConfig(repository));
    expect((shape?.parameters ?? 0) / parameters).toBeCloseTo(1, 2);
  });

  it('are read from a recipe before a model is fetched, and are unknown for others', async () => {
    const where = { recipeFolder: '/nowhere' };
    const commit = '5ede1c97bbab6ce5cda5812749b4c0bdf79b18dd';
    expect(await configOf(`hf://Qwen/Qwen2.5-32B-Instruct@${commit}`, where)).toMatchObject({ num_hidden_layers: 64 });
    const packaged = `pypi://a@1/b/SmolLM2-135M-Instruct.Q4_1.gguf#sha256=${'0'.repeat(64)}`;
    expect(await configOf(packaged, where)).toMatchObject({ hidden_size: 576 });
    const config = { hidden_size: 64 };
    expect(await configOf({ random: { config, seed: 0 } }, where)).toEqual({ hidden_size: 64, vocab_size: 259 });
    const own = { random: { config, seed: 0, tokenizer: './tokenizer' } };
    expect(await configOf(own, where)).toEqual({ hidden_size: 64 });
    expect(await configOf(`hf://somebody/something@${commit}`, where)).toBeUndefined();
    expect(await configOf('./no-such-folder', where)).toBeUndefined();
  });
});

const hardware = builtInHardware['h100-sxm'];

function gigabytes({ memory = [] }: WorkEstimate, part?: string): number {
  return (
    memory.filter((each) => part === undefined || each.part === part).reduce((sum, { bytes }) => sum + bytes, 0) / 1e9
  );
}

describe('the memory of a training', () => {
  it("is too large for 8 GPUs in s1's training, as its users found, and not for 16", () => {
    const on8 = estimateJob(s1Job(), { hardware, gpus: 8, nodes: 1 });
    const on16 = estimateJob(s1Job(), { hardware, gpus: 16, nodes: 2 });
    expect(gigabytes(on8)).toBeGreaterThan(80);
    expect(gigabytes(on16)).toBeLessThan(76);
    const more = on8.advice?.find(({ change }) => change === 'gpus: 16');
    expect((more?.bytes ?? 0) / 1e9).toBeCloseTo(gigabytes(on16), 5);
  });

  it('fits on accelerators with more memory, too, of which the smallest that suffice are named', () => {
    const hardwareFor = (place: Parameters<typeof estimateJob>[1], change = {}) =>
      estimateJob(s1Job(change), place).advice?.find(({ change }) => change.startsWith('hardware'));
    expect(hardwareFor({ hardware, gpus: 8, nodes: 1 })).toMatchObject({
      change: 'hardware: h200-sxm',
      bytes: estimateJob(s1Job(), { hardware, gpus: 8, nodes: 1 }).memory?.reduce((sum, { bytes }) => sum + bytes, 0),
      memoryBytes: builtInHardware['h200-sxm'].memoryBytes,
    });
    const small = { hardware: builtInHardware['rtx-4090'], gpus: 1, nodes: 1 };
    expect(hardwareFor(small, { method: 'qlora' })?.change).toBe('hardware: l40s');
    expect(hardwareFor({ hardware: builtInHardware['b200-sxm'], gpus: 1, nodes: 1 })).toBeUndefined();
  });

  it('is told what suffices together where nothing does alone', () => {
    const place = { hardware: builtInHardware['a100-40gb'], gpus: 1, nodes: 1 };
    const advice = estimateJob(s1Job(), place).advice ?? [];
    const isEnough = ({ bytes, memoryBytes = 40e9 }: (typeof advice)[number]) => bytes <= 0.95 * memoryBytes;
    expect(advice.filter(isEnough).map(({ change }) => change)).toEqual([
      'gpus: 2, method: qlora',
      'gpus: 32, maxSequenceLength: 8192',
      'maxSequenceLength: 8192, method: qlora',
    ]);
    expect(advice.findIndex(isEnough)).toBe(advice.length - 3);
    const together = estimateJob(s1Job({ method: 'qlora' }), { ...place, gpus: 2 });
    expect((advice.find(isEnough)?.bytes ?? 0) / 1e9).toBeCloseTo(gigabytes(together), 5);
    const alone = estimateJob(s1Job(), { hardware, gpus: 8, nodes: 1 }).advice ?? [];
    expect(alone.filter(({ change }) => /gpus.*,|,.*method/.test(change))).toEqual([]);
  });

  it('has float32 weights, their gradients and two values of AdamW for each, over all shards', () => {
    const on16 = estimateJob(s1Job(), { hardware, gpus: 16, nodes: 2 });
    expect(gigabytes(on16, 'weights')).toBeCloseTo((32.76 * 4) / 16, 1);
    expect(gigabytes(on16, 'gradients')).toBeCloseTo((32.76 * 4) / 16, 1);
    expect(gigabytes(on16, 'optimizer')).toBeCloseTo((32.76 * 8) / 16, 1);
  });

  it.each([
    ['gradient checkpointing', { gradientCheckpointing: false }, { gradientCheckpointing: true }, 'activations'],
    ['a smaller batch', { deviceBatchSize: 4 }, { deviceBatchSize: 1 }, 'activations'],
    ['shorter sequences', { maxSequenceLength: 8192 }, { maxSequenceLength: 2048 }, 'activations'],
    ['an adapter', { method: 'full' }, { method: 'lora' }, 'optimizer'],
    ['four bits', { method: 'lora' }, { method: 'qlora' }, 'weights'],
  ] as const)('falls with %s', (_, before, after, part) => {
    const place = { hardware, gpus: 1, nodes: 1 };
    expect(gigabytes(estimateJob(s1Job(after), place), part)).toBeLessThan(
      0.6 * gigabytes(estimateJob(s1Job(before), place), part),
    );
  });

  it('is that of as many rows a pass as the trainer takes, where deviceBatchSize is not said', () => {
    const place = { hardware, gpus: 1, nodes: 1 };
    const short = (change: Partial<Hyperparameters>) => {
      const job = jobOf({ maxSequenceLength: 1024, ...change });
      return estimateJob({ ...job, data: { rows: 1000, tokensPerRow: 900 } } as TrainerJob, place);
    };
    const activations = (change: Partial<Hyperparameters>) => gigabytes(short(change), 'activations');
    // 16,384 tokens hold 16 rows of 1,024.
    expect(activations({})).toBeCloseTo(activations({ deviceBatchSize: 16 }), 5);
    expect(short({}).advice?.map(({ change }) => change)).toContain('deviceBatchSize: 1');
  });

  it.each([
    ['of a model without SDPA', { model_type: 'gpt_oss' }, {}, 6],
    ['with a cap', { model_type: 'gemma2', attn_logit_softcapping: 50 }, {}, 8],
    ['as asked for', {}, { attention: 'eager' }, 6],
  ])(
    'has all scores of eager attention, %s, and with checkpointing those of a layer',
    (_, config, extensions, bytes) => {
      const on = (gradientCheckpointing: boolean) => {
        const job = s1Job({ maxSequenceLength: 4096, deviceBatchSize: 2, gradientCheckpointing });
        const model = { config: { ...knownConfig('Qwen/Qwen2.5-32B-Instruct'), ...config } };
        const estimate = estimateJob({ ...job, model, extensions } as TrainerJob, { hardware, gpus: 16, nodes: 2 });
        return gigabytes(estimate, 'attention scores') * 1e9;
      };
      const layer = 40 * 4096 ** 2 * bytes;
      expect(on(true)).toBeCloseTo(layer, 0);
      expect(on(false)).toBeCloseTo(64 * layer, 0);
    },
  );

  it('has no scores of attention where a kernel computes it', () => {
    const parts = (job: TrainerJob) =>
      estimateJob(job, { hardware, gpus: 16, nodes: 2 }).memory?.map(({ part }) => part);
    const config = { ...knownConfig('Qwen/Qwen2.5-32B-Instruct'), attn_logit_softcapping: 50 };
    const capped = { ...s1Job(), model: { config } };
    expect(parts(capped)).toContain('attention scores');
    expect(parts({ ...capped, extensions: { attention: 'flash_attention_2' } } as TrainerJob)).not.toContain(
      'attention scores',
    );
    expect(parts(s1Job())).not.toContain('attention scores');
  });

  it('has the frozen weights of an adapter in the type of the products', () => {
    const on = (change: Partial<Hyperparameters>) =>
      gigabytes(estimateJob(s1Job({ method: 'lora', ...change }), { hardware, gpus: 1, nodes: 1 }), 'weights');
    expect(on({ precision: 'bfloat16' }) / (32.76 * 2)).toBeCloseTo(1, 1);
    expect(on({ precision: 'float32' }) / (32.76 * 4)).toBeCloseTo(1, 1);
  });

  // 6.98 billion weights of Llama 3.1 8B in 4 bits, 0.97 of Llama 3.2 1B, as bitsandbytes puts its modules into them.
  it.each([
    ['meta-llama/Llama-3.1-8B', 5.703],
    ['meta-llama/Llama-3.2-1B', 1.028],
  ])('has in qlora the head and the tables of %s whole, beside its layers in four bits: %d GB', (repository, base) => {
    const job = s1Job({ method: 'qlora', lora: { rank: 1, alpha: 1, dropout: 0, targetModules: [] } });
    const place = { hardware, gpus: 1, nodes: 1 };
    const estimate = estimateJob({ ...job, model: { config: knownConfig(repository) ?? {} } } as TrainerJob, place);
    const adapter = gigabytes(estimate, 'gradients');
    expect(gigabytes(estimate, 'weights') - adapter).toBeCloseTo(base, 2);
  });

  // Megabytes that PyTorch 2.13 held at most in one pass forward and back, beside weights and gradients.
  it.each([
    ['float32', 'float32', false, 256, 68.5],
    ['float32', 'float32', true, 256, 18.6],
    ['float32', 'float32', false, 1024, 267.8],
    ['float32', 'float32', true, 1024, 68.3],
    ['bfloat16', 'float32', false, 256, 81.7],
    ['bfloat16', 'float32', true, 256, 42.3],
    ['bfloat16', 'float32', false, 1024, 219.3],
    ['bfloat16', 'float32', true, 1024, 61.2],
    ['bfloat16', 'bfloat16', false, 256, 38.1],
    ['bfloat16', 'bfloat16', true, 256, 10.1],
    ['bfloat16', 'bfloat16', false, 1024, 152.4],
    ['bfloat16', 'bfloat16', true, 1024, 37.3],
  ] as const)(
    'is what PyTorch holds for a small Llama in %s, weights in %s, recomputing: %s, of %d tokens, within a quarter',
    (precision, weights, gradientCheckpointing, tokens, megabytes) => {
      const sizes = { hidden_size: 512, num_hidden_layers: 6, num_attention_heads: 8, num_key_value_heads: 4 };
      const config = { model_type: 'llama', ...sizes, intermediate_size: 1408, vocab_size: 512 };
      const job = {
        ...s1Job({ precision, gradientCheckpointing, maxSequenceLength: tokens }),
        model: { config },
        data: { rows: 1, tokensPerRow: tokens },
        extensions: { weights },
      };
      const estimate = estimateJob(job as TrainerJob, { hardware, gpus: 1, nodes: 1 });
      const held = 1000 * (gigabytes(estimate, 'activations') + gigabytes(estimate, 'cast weights'));
      expect(held / megabytes).toBeGreaterThan(0.75);
      expect(held / megabytes).toBeLessThan(1.25);
    },
  );

  it('has as many logits at a time as the loss has on a GPU, in float32 with their gradient', () => {
    const source = readFileSync(new URL('python/simmer_trainer/head_loss.py', import.meta.url), 'utf8');
    const logits = 2 ** Number(/"cuda": 1 << (\d+)/.exec(source)?.[1]);
    const activations = (vocab_size: number) => {
      const config = { ...Object(knownConfig('Qwen/Qwen2.5-7B-Instruct')), vocab_size };
      const job = { ...s1Job({ maxSequenceLength: 8192 }), model: { config }, data: { rows: 1, tokensPerRow: 8192 } };
      return gigabytes(estimateJob(job as TrainerJob, { hardware, gpus: 1, nodes: 1 }), 'activations');
    };
    for (const vocabulary of [32_000, 128_000]) {
      expect(activations(vocabulary) - activations(1000)).toBeCloseTo((8 * (logits - 8192 * 1000)) / 1e9, 6);
    }
  });

  it('has a copy of the head that autocast makes, also where the head is the table of tokens', () => {
    const known = knownConfig('Qwen/Qwen2.5-0.5B');
    const castWeights = (tie_word_embeddings: boolean) => {
      const job = { ...s1Job({ gradientCheckpointing: false }), model: { config: { ...known, tie_word_embeddings } } };
      return gigabytes(estimateJob(job as TrainerJob, { hardware, gpus: 1, nodes: 1 }), 'cast weights');
    };
    expect(castWeights(true)).toBeGreaterThan(0);
    expect(castWeights(true)).toBeCloseTo(castWeights(false), 9);
  });

  it('is what KempnerForge measured for 8B in bfloat16 on one H200, within a fifth', () => {
    const job = s1Job({ deviceBatchSize: 4, maxSequenceLength: 4096, packing: true });
    const llama = { ...job, model: { config: knownConfig('meta-llama/Llama-3.1-8B') ?? {} } };
    const place = { hardware: builtInHardware['h200-sxm'], gpus: 1, nodes: 1 };
    const estimate = estimateJob({ ...llama, extensions: { weights: 'bfloat16' } } as TrainerJob, place);
    expect(gigabytes(estimate) / 80.7).toBeGreaterThan(0.8);
    expect(gigabytes(estimate) / 80.7).toBeLessThan(1.2);
  });
});

describe('the memory of experts', () => {
  const config = { model_type: 'mixtral', ...mixtral8x7B };
  const on = (change: Partial<Hyperparameters>, type = 'mixtral') =>
    estimateJob({ ...s1Job(change), model: { config: { ...config, model_type: type } } } as TrainerJob, {
      hardware,
      gpus: 8,
      nodes: 1,
    });

  it('is that of all of them, and the time that of those that a token goes to', () => {
    expect(gigabytes(on({}), 'weights')).toBeCloseTo((46.7 * 4) / 8, 1);
    expect(gigabytes(on({}), 'optimizer')).toBeCloseTo((46.7 * 8) / 8, 1);
    const dense = { ...config, num_local_experts: undefined };
    const place = { hardware, gpus: 8, nodes: 1 };
    const alone = estimateJob({ ...s1Job(), model: { config: dense } } as unknown as TrainerJob, place);
    expect((on({}).seconds ?? 0) / (alone.seconds ?? 0)).toBeGreaterThan(1.2);
    expect((on({}).seconds ?? 0) / (alone.seconds ?? 0)).toBeLessThan(3);
  });

  it('is in four bits for none', () => {
    const qlora = gigabytes(on({ method: 'qlora' }), 'weights');
    expect(qlora).toBeGreaterThan((45 * 2) / 8);
  });

  // 359.7 and 13.6 million weights, without the routers' 2.1 in Mixtral.
  it.each([
    ['mixtral', 357.6],
    ['phimoe', 13.6],
    ['granitemoe', 13.6],
  ])('has an adapter on each where PEFT puts one there, and as large: on %s', (type, millions) => {
    const adapter = on({ method: 'lora', lora: { rank: 16, alpha: 32, dropout: 0, targetModules: [] } }, type);
    expect((gigabytes(adapter, 'optimizer') * 8) / 8e-3 / millions).toBeCloseTo(1, 2);
  });

  it('has an adapter on no other MLP where it has one on experts', () => {
    const shared = (type: string) => {
      const model = { config: { ...config, model_type: type, n_shared_experts: 1 } };
      const job = { ...s1Job({ method: 'lora' }), model } as TrainerJob;
      return gigabytes(estimateJob(job, { hardware, gpus: 8, nodes: 1 }), 'optimizer');
    };
    expect(shared('glm4_moe')).toBe(gigabytes(on({ method: 'lora' }, 'glm4_moe'), 'optimizer'));
    expect(shared('laguna')).toBeGreaterThan(gigabytes(on({ method: 'lora' }, 'laguna'), 'optimizer'));
  });

  it.each([
    [
      'glm4_moe',
      'lora',
      ['An adapter is on no dense MLP and no shared expert of this model: PEFT puts one on its experts.'],
    ],
    ['gpt_oss', 'lora', ['An adapter is on no expert of this model, where PEFT puts none.']],
    ['llama', 'lora', []],
    ['glm4_moe', 'full', []],
  ] as const)('says of %s by %s where no adapter is', (type, method, notes) => {
    const experts = {
      num_local_experts: type === 'llama' ? undefined : 8,
      num_experts_per_tok: 2,
      n_shared_experts: 1,
    };
    const model = { config: { ...config, ...experts, model_type: type } };
    const job = { ...s1Job({ method }), model } as TrainerJob;
    const said = estimateJob(job, { hardware, gpus: 8, nodes: 1 }).notes ?? [];
    expect(said.filter((note) => note.startsWith('An adapter'))).toEqual(notes);
  });
});

describe('a generation', () => {
  const job = (repository: string, more: object = {}): TrainerJob => ({
    kind: 'generation',
    model: { config: knownConfig(repository) ?? {} },
    prompts: 500,
    tokensPerPrompt: 1000,
    longestSequence: 32_768,
    ...more,
  });
  const on = (name: keyof typeof builtInHardware) => ({ hardware: builtInHardware[name], gpus: 8, nodes: 1 });
  const changes = (estimate: WorkEstimate) => estimate.advice?.map(({ change }) => change);

  it('of a model that no such GPU holds needs a larger one or a server', () => {
    const estimate = estimateJob(job('meta-llama/Llama-3.3-70B-Instruct'), on('h100-sxm'));
    expect(gigabytes(estimate)).toBeGreaterThan(141);
    expect(changes(estimate)).toEqual(['hardware: b200-sxm', 'an OpenAI-compatible server']);
    expect(estimate.advice?.[0]).toMatchObject({ memoryBytes: 180e9 });
  });

  it('fits with fewer at a time, half the bits, or shorter answers', () => {
    const many = estimateJob(job('Qwen/Qwen2.5-7B', { batchSize: 64 }), on('h100-sxm'));
    expect(changes(many)?.[0]).toBe('maxBatchSize: 31');
    expect((many.advice?.[0]?.bytes ?? 0) / 1e9).toBeLessThan(0.95 * 80);
    const wide = estimateJob(job('Qwen/Qwen2.5-14B', { precision: 'float32', batchSize: 4 }), on('h100-sxm'));
    expect(changes(wide)?.slice(0, 2)).toEqual(['maxBatchSize: 1', 'precision: bfloat16']);
    const long = estimateJob(job('Qwen/Qwen2.5-7B', { longestSequence: 131_072, batchSize: 1 }), on('a10g'));
    expect(changes(long)?.[0]).toMatch(/^prompt and answer of \d+ tokens$/);
    expect((long.advice?.[0]?.bytes ?? 0) / 1e9).toBeCloseTo(0.95 * 24, 1);
  });

  it('takes as many at a time as the trainer does, and never more than there are', () => {
    // 0.4 of what 15.2 GB of weights leave, at 1.9 GB each.
    expect(estimateJob(job('Qwen/Qwen2.5-7B'), on('h100-sxm')).figures?.sequencesAtOnce).toBe(13);
    expect(estimateJob(job('Qwen/Qwen2.5-7B', { prompts: 3 }), on('h100-sxm')).figures?.sequencesAtOnce).toBe(3);
  });
});

describe('what is not known', () => {
  it('is said, and how to say it', () => {
    const job = s1Job();
    const place = { hardware, gpus: 16, nodes: 2 };
    expect(estimateJob({ ...job, model: {} }, place).notes?.[0]).toContain('sizes of the model');
    expect(estimateJob(job, { gpus: 16, nodes: 2 }).notes?.[0]).toContain('No `hardware` is named');
    expect(estimateJob(job, { gpus: 0, nodes: 1 }).notes?.[0]).toContain(
      'once it has run, with few rows too: `simmer plan`',
    );
    const sized = (config: object) => estimateJob({ ...job, model: { config } } as TrainerJob, place);
    const zamba = sized({ ...knownConfig('Qwen/Qwen2.5-7B'), model_type: 'zamba2' });
    expect(zamba).toEqual({ notes: ['How large a model of the type zamba2 is cannot be told from its config.'] });
    expect(sized({ model_type: 'llama' }).notes?.[0]).toContain('does not say all sizes');
    const withImages = { ...knownConfig('Qwen/Qwen2.5-7B'), model_type: 'gemma3_text', has_uncounted_parts: true };
    expect(sized(withImages).notes?.at(-1)).toContain('that of the language model');
    const unknownRows = estimateJob({ ...job, data: {} } as TrainerJob, place);
    expect(unknownRows.seconds).toBeUndefined();
    expect(unknownRows.notes?.[0]).toContain('tokensPerRow');
    expect(gigabytes(unknownRows)).toBeGreaterThan(0);
  });
});
