import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { configOf } from './config-of.js';
import { mixtral8x7B } from './mixtral.fixture.js';
import { shapeOf } from './model-shape.js';

/** What of their config.json says how large some published models are, by their type. */
const publishedConfigs: Readonly<Record<string, Readonly<Record<string, number | boolean>>>> = {
  mixtral: mixtral8x7B,
  // Qwen3-30B-A3B.
  qwen3_moe: {
    hidden_size: 2048,
    intermediate_size: 6144,
    moe_intermediate_size: 768,
    num_hidden_layers: 48,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    head_dim: 128,
    vocab_size: 151936,
    num_experts: 128,
    num_experts_per_tok: 8,
    decoder_sparse_step: 1,
    tie_word_embeddings: false,
  },
  // DeepSeek-V3.
  deepseek_v3: {
    hidden_size: 7168,
    intermediate_size: 18432,
    moe_intermediate_size: 2048,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    num_key_value_heads: 128,
    vocab_size: 129280,
    n_routed_experts: 256,
    num_experts_per_tok: 8,
    n_shared_experts: 1,
    first_k_dense_replace: 3,
    moe_layer_freq: 1,
    q_lora_rank: 1536,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    tie_word_embeddings: false,
  },
  // gpt-oss-20b.
  gpt_oss: {
    hidden_size: 2880,
    intermediate_size: 2880,
    num_hidden_layers: 24,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 201088,
    num_local_experts: 32,
    num_experts_per_tok: 4,
    tie_word_embeddings: false,
  },
  // Llama 4 Scout.
  llama4_text: {
    hidden_size: 5120,
    intermediate_size: 8192,
    intermediate_size_mlp: 16384,
    num_hidden_layers: 48,
    num_attention_heads: 40,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: 202048,
    num_local_experts: 16,
    num_experts_per_tok: 1,
    interleave_moe_layer_step: 1,
    tie_word_embeddings: false,
  },
  // GLM-4.5-Air.
  glm4_moe: {
    hidden_size: 4096,
    intermediate_size: 10944,
    moe_intermediate_size: 1408,
    num_hidden_layers: 46,
    num_attention_heads: 96,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: 151552,
    n_routed_experts: 128,
    num_experts_per_tok: 8,
    n_shared_experts: 1,
    first_k_dense_replace: 1,
    tie_word_embeddings: false,
  },
  // Gemma 3n E4B.
  gemma3n_text: {
    hidden_size: 2048,
    intermediate_size: 16384,
    num_hidden_layers: 35,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 256,
    vocab_size: 262400,
    vocab_size_per_layer_input: 262144,
    hidden_size_per_layer_input: 256,
    num_kv_shared_layers: 15,
  },
  // Bloom 7B1.
  bloom: { n_embed: 4096, n_layer: 30, num_attention_heads: 32, vocab_size: 250880 },
};

/** Qwen1.5-MoE-A2.7B, and small ones. */
const configsWithLists: Readonly<Record<string, Readonly<Record<string, number | boolean>>>> = {
  qwen2_moe: {
    hidden_size: 2048,
    intermediate_size: 5632,
    moe_intermediate_size: 1408,
    shared_expert_intermediate_size: 5632,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    vocab_size: 151936,
    num_experts: 60,
    num_experts_per_tok: 4,
    tie_word_embeddings: false,
  },
  llama4_text: {
    hidden_size: 512,
    intermediate_size: 1024,
    intermediate_size_mlp: 2048,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 64,
    vocab_size: 1000,
    num_local_experts: 16,
    num_experts_per_tok: 1,
    tie_word_embeddings: false,
  },
  mellum: {
    hidden_size: 512,
    intermediate_size: 2048,
    moe_intermediate_size: 256,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 64,
    vocab_size: 1000,
    num_experts: 16,
    num_experts_per_tok: 2,
    tie_word_embeddings: false,
  },
};

/** The config of a folder that has this one. */
async function configIn(json: object) {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'config.json'), JSON.stringify(json));
  return configOf(folder, { recipeFolder: '/' });
}

describe('the sizes of a model', () => {
  // As published, of weights and of those that a token is computed with; gpt-oss leaves the table of tokens out of these.
  it.each([
    ['mixtral', 46.7, 12.9],
    ['qwen3_moe', 30.5, 3.34],
    ['deepseek_v3', 671, 37.4],
    ['gpt_oss', 20.9, 3.6 + 0.58],
    ['llama4_text', 107.8, 17.2],
    ['glm4_moe', 106.9, 13.4],
    ['gemma3n_text', 6.83, 4.48],
    ['bloom', 7.07, 7.07],
  ])('are counted from the config of %s: %d billion, %d of them in use', (type, parameters, active) => {
    const shape = shapeOf({ model_type: type, ...publishedConfigs[type] });
    expect((shape?.parameters ?? 0) / 1e9 / parameters).toBeCloseTo(1, 2);
    expect((shape?.activeParameters ?? 0) / 1e9 / active).toBeCloseTo(1, 2);
  });

  it('are unknown where it is not said to how many experts a token goes', () => {
    expect(shapeOf({ ...publishedConfigs.mixtral, num_experts_per_tok: undefined })).toBeUndefined();
  });

  it('are those of the language model where there are images, too', async () => {
    const text = { ...publishedConfigs.gemma3n_text, model_type: 'gemma3n_text', intermediate_size: [8192, 24_576] };
    const config = await configIn({ model_type: 'gemma3n', text_config: text });
    expect(shapeOf(config)).toEqual(shapeOf({ ...text, intermediate_size: 16_384 }));
    expect(config).toMatchObject({ has_uncounted_parts: true });
  });

  it.each(['zamba2', 'mamba', 'whisper', 'a type of next year'])('are unknown of the type %s', (type) => {
    expect(shapeOf({ ...publishedConfigs.mixtral, model_type: type })).toBeUndefined();
  });

  it('are unknown where there is more around a language model than is known', async () => {
    const text = { ...publishedConfigs.gemma3n_text, model_type: 'gemma3n_text', intermediate_size: 8192 };
    expect(shapeOf(await configIn({ model_type: 'got_ocr2', text_config: text }))).toBeUndefined();
  });

  // As transformers makes them, which counts millions of weights.
  it.each([
    ['qwen2_moe', {}, 14_316],
    ['qwen2_moe', { mlp_only_layers: [] }, 14_316],
    ['qwen2_moe', { mlp_only_layers: [0, 1, 5] }, 12_758],
    ['qwen2_moe', { mlp_only_layers: [0, 1, 5], decoder_sparse_step: 2 }, 7047],
    ['llama4_text', { interleave_moe_layer_step: 2 }, 125.8],
    ['llama4_text', { interleave_moe_layer_step: 2, moe_layers: [1, 4, 7] }, 102.2],
    ['mellum', { mlp_layer_types: ['dense', 'sparse', 'dense', 'sparse', 'sparse', 'dense'] }, 33.3],
  ])('are of those layers that the lists of %s give experts: %j', async (type, lists, millions) => {
    const config = await configIn({ model_type: type, ...configsWithLists[type], ...lists });
    expect((shapeOf(config)?.parameters ?? 0) / 1e6 / millions).toBeCloseTo(1, 2);
  });
});
