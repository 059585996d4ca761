import { type Mlps, mlpsOf, type NumberOf } from './mlp-shape.js';

/** The sizes of a decoder that its costs follow from. */
export interface ModelShape {
  readonly layers: number;
  /** Of queries. */
  readonly heads: number;
  readonly hiddenSize: number;
  /** Of keys and values together of one, in elements: heads of keys times their size. */
  readonly keyValueSize: number;
  readonly querySize: number;
  readonly mlps: readonly Mlps[];
  /** Of the MLPs that a token goes through in a layer, all together; the mean of layers. */
  readonly intermediateSize: number;
  readonly vocabularySize: number;
  /** All weights. */
  readonly parameters: number;
  /** Those that each token is computed with: not the experts that it does not go to, nor tables of each layer. */
  readonly activeParameters: number;
  /** Of one layer, all experts among them; the mean of layers. */
  readonly layerParameters: number;
  /** Those of the table of tokens, of the head, where it is another one, and of tables of each layer. */
  readonly tableParameters: number;
}

type Config = Readonly<Record<string, unknown>>;

/** Types whose head is their table of tokens where the config does not say so. */
const tiedByDefault = /^(bloom|cohere|gemma)/;

/** From a Hugging Face config of a llama-like model, with experts or without; undefined where it is of another kind. */
export function shapeOf(given: unknown): ModelShape | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const config = likeLlama(given as Config);
  const number: NumberOf = (...keys) => keys.map((key) => config[key]).find((value) => typeof value === 'number');
  const [hiddenSize, layers, vocabularySize, heads] = [
    'hidden_size',
    'num_hidden_layers',
    'vocab_size',
    'num_attention_heads',
  ].map((key) => number(key));
  if (!hiddenSize || !layers || !vocabularySize || !heads) return undefined;
  const mlps = mlpsOf(config, number, layers);
  if (mlps.length === 0) return undefined;
  const { attention, querySize, keyValueSize } = attentionOf(number, hiddenSize, heads);
  const isTied = config.tie_word_embeddings ?? tiedByDefault.test(String(config.model_type));
  // Gemma 3n and 4 have a table for each layer, and what takes its rows in and out.
  const ownSize = number('hidden_size_per_layer_input') ?? 0;
  const ownTables = layers * ownSize * (number('vocab_size_per_layer_input') ?? vocabularySize);
  const weightsOf = (count: 'count' | 'used') =>
    mlps.reduce((sum, each) => sum + each[count] * (3 * each.size + (each.areExperts ? 1 : 0)) * hiddenSize, 0);
  const ofTokens = (isTied ? 1 : 2) * vocabularySize * hiddenSize;
  const shared = layers * (attention + 2 * hiddenSize + 3 * hiddenSize * ownSize) + ofTokens + hiddenSize;
  const parameters = shared + ownTables + weightsOf('count');
  return {
    layers,
    heads,
    hiddenSize,
    keyValueSize,
    querySize,
    mlps,
    intermediateSize: mlps.reduce((sum, { used, size }) => sum + used * size, 0) / layers,
    vocabularySize,
    parameters,
    activeParameters: shared + weightsOf('used'),
    layerParameters: attention + 2 * hiddenSize + weightsOf('count') / layers,
    tableParameters: ofTokens + ownTables,
  };
}

/** Bloom has names of its own, and MLPs of two matrices, each of four times the hidden size: as much as three of 8/3. */
function likeLlama(config: Config): Config {
  if (config.model_type !== 'bloom') return config;
  const hiddenSize = Number(config.n_embed ?? config.hidden_size);
  return {
    ...config,
    hidden_size: hiddenSize,
    intermediate_size: (8 / 3) * hiddenSize,
    num_hidden_layers: config.n_layer ?? config.num_hidden_layers,
    num_attention_heads: config.n_head ?? config.num_attention_heads,
  };
}

/** Weights of one layer's attention, and its sizes. */
function attentionOf(number: NumberOf, hiddenSize: number, heads: number) {
  const latent = number('kv_lora_rank');
  if (latent !== undefined) {
    // DeepSeek's: keys and values of all heads come from a latent, to which a rotated part is added.
    const [plain = 0, rotated = 0] = [number('qk_nope_head_dim'), number('qk_rope_head_dim')];
    const valueSize = heads * (number('v_head_dim') ?? plain);
    const querySize = heads * (plain + rotated);
    const queryLatent = number('q_lora_rank');
    const queries = queryLatent === undefined ? hiddenSize * querySize : queryLatent * (hiddenSize + querySize + 1);
    const others = hiddenSize * (latent + rotated) + latent * (heads * plain + valueSize + 1) + valueSize * hiddenSize;
    return { attention: queries + others, querySize, keyValueSize: (querySize + valueSize) / 2 };
  }
  const headSize = number('head_dim') ?? hiddenSize / heads;
  const querySize = heads * headSize;
  const keyValueSize = (number('num_key_value_heads') ?? heads) * headSize;
  return { attention: 2 * hiddenSize * (querySize + keyValueSize), querySize, keyValueSize };
}
