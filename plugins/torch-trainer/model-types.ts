import { defaultHeads } from './default-heads.js';

/**
 * Types of decoders (`model_type`) whose weights `shapeOf` counts as transformers makes them, within 2%. The sizes of others
 * are said to be unknown: what a config calls the same is not always the same.
 */
const countedTypes = new Set(
  (
    'afmoe apertus arcee aria_text axk1 bamba biogpt bitnet bloom codegen cohere cohere2 cohere2_moe cwm deepseek_v2 ' +
    'deepseek_v3 deepseek_v32 diffllama doge ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon falcon_h1 flex_olmo gemma ' +
    'gemma2 gemma3_text gemma3n_text gemma4_text glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt2 gpt_bigcode gpt_neo ' +
    'gpt_neox gpt_oss gptj granite granite_swa granitemoe granitemoe_swa granitemoehybrid granitemoeshared helium hy_v3 ' +
    'hyperclovax jais2 laguna lfm2 llama llama4_text mellum minicpm3 minimax minimax_m2 ' +
    'minimax_m3_vl_text ministral3 mistral mixtral mpt nanochat olmo olmo2 olmo3 olmo_hybrid olmoe opt persimmon phi ' +
    'phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_next seed_oss smollm3 solar_open ' +
    'stablelm starcoder2 vaultgemma youtu'
  ).split(' '),
);

/** Types whose head is their table of tokens where the config does not say so. */
const tiedByDefault =
  /^(biogpt|bloom|cohere|ernie4_5|falcon$|gemma|gpt2|gpt_bigcode|gpt_neo$|granite_swa|lfm2|minicpm3|mpt|opt|smollm3|starcoder2|vaultgemma|youtu)/;

/** Types whose MLPs have no gate: two matrices, not three. */
const withoutGate =
  /^(apertus|arcee|biogpt|bloom|codegen|falcon|gpt2|gpt_bigcode|gpt_neo|gpt_neox|gptj|jais2|mpt|nanochat|opt|persimmon|phi|starcoder2)$/;

/** Types with a table of positions, which is trained like any other. */
const withPositions = /^(biogpt|gpt2|gpt_bigcode|gpt_neo|opt)$/;

/** Types with images or sound that are trained as their language model alone: what else there is, is not loaded. */
const loadedAsText = /^(gemma4|llama4|qwen3_5|qwen3_5_moe)$/;
/** Types of which all is loaded, and the language model is counted. */
const loadedWhole = /^(gemma3|gemma3n)$/;

type Config = Readonly<Record<string, unknown>>;

/** A config without a type is one of `known-models.ts`. */
export function isCounted({ model_type: type }: Config): boolean {
  return type === undefined || countedTypes.has(String(type));
}

/**
 * The config of its language model, where a model has more than that; its own type where it is none that is known to be
 * built so.
 */
export function textConfigOf(config: Config): Config {
  const text = config.text_config;
  if (typeof text !== 'object' || text === null) return config;
  const type = String(config.model_type);
  if (loadedAsText.test(type)) return { ...config, ...text };
  return loadedWhole.test(type)
    ? { ...config, ...text, has_uncounted_parts: true }
    : { ...config, ...text, model_type: config.model_type };
}

export function isTied({ model_type: type, tie_word_embeddings: isSaid }: Config): boolean {
  return typeof isSaid === 'boolean' ? isSaid : tiedByDefault.test(String(type));
}

export function hasGate({ model_type: type }: Config): boolean {
  return !withoutGate.test(String(type));
}

export function hasPositions({ model_type: type }: Config): boolean {
  return withPositions.test(String(type));
}

/** What a type has where its config does not say. Older types have names of their own for the sizes, and MLPs of four times the hidden size where they say no other. */
export function withCommonNames(config: Config): Config {
  const first = (...keys: readonly string[]) =>
    keys.map((key) => config[key]).find((value) => typeof value === 'number');
  const hiddenSize = first('n_embd', 'n_embed', 'd_model', 'hidden_size');
  const heads = first('n_head', 'n_heads', 'num_heads', 'num_attention_heads');
  const named = {
    hidden_size: hiddenSize,
    num_attention_heads: heads,
    num_hidden_layers: first('n_layer', 'n_layers', 'num_layers', 'num_hidden_layers'),
    intermediate_size:
      first('n_inner', 'ffn_dim', 'ffn_hidden_size', 'intermediate_size') ??
      (hasGate(config) ? undefined : 4 * Number(hiddenSize)),
    max_position_embeddings: first('n_positions', 'max_position_embeddings'),
  };
  return { ...defaultHeads(config.model_type), ...config, ...named, ...keyHeads(config, heads) };
}

function keyHeads(config: Config, heads: unknown): Config {
  const isFalcon = config.model_type === 'falcon';
  if (!isFalcon && config.model_type !== 'gpt_bigcode') return {};
  if (isFalcon && config.new_decoder_architecture === true)
    return { num_key_value_heads: config.num_kv_heads ?? heads };
  return { num_key_value_heads: config.multi_query === false ? heads : 1 };
}
