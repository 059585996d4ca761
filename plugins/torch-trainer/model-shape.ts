/** The sizes of a decoder that its costs follow from. */
export interface ModelShape {
  readonly layers: number;
  /** Of queries. */
  readonly heads: number;
  readonly hiddenSize: number;
  /** Of keys and values together of one, in elements: heads of keys times their size. */
  readonly keyValueSize: number;
  readonly querySize: number;
  readonly intermediateSize: number;
  readonly vocabularySize: number;
  readonly parameters: number;
}

/** From a Hugging Face config of a llama-like model; undefined where it is of another kind. */
export function shapeOf(config: unknown): ModelShape | undefined {
  if (typeof config !== 'object' || config === null) return undefined;
  const number = (key: string): number | undefined => {
    const value = (config as Readonly<Record<string, unknown>>)[key];
    return typeof value === 'number' ? value : undefined;
  };
  const [hiddenSize, layers, intermediateSize, vocabularySize, heads] = [
    'hidden_size',
    'num_hidden_layers',
    'intermediate_size',
    'vocab_size',
    'num_attention_heads',
  ].map(number);
  if (!hiddenSize || !layers || !intermediateSize || !vocabularySize || !heads) return undefined;
  const headSize = number('head_dim') ?? hiddenSize / heads;
  const querySize = heads * headSize;
  const keyValueSize = (number('num_key_value_heads') ?? heads) * headSize;
  const isTied = (config as { readonly tie_word_embeddings?: unknown }).tie_word_embeddings === true;
  const attention = 2 * hiddenSize * querySize + 2 * hiddenSize * keyValueSize;
  const layer = attention + 3 * hiddenSize * intermediateSize + 2 * hiddenSize;
  const parameters = layers * layer + (isTied ? 1 : 2) * vocabularySize * hiddenSize + hiddenSize;
  return { layers, heads, hiddenSize, keyValueSize, querySize, intermediateSize, vocabularySize, parameters };
}

/** Whether a layer's tokens go to some of several experts, which a shape does not tell. */
export function hasExperts(config: unknown): boolean {
  const counts = ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'];
  return counts.some((key) => Number((Object(config) as Readonly<Record<string, unknown>>)[key]) > 1);
}

/** Weights of one layer. */
export function layerParameters({ hiddenSize, querySize, keyValueSize, intermediateSize }: ModelShape): number {
  return 2 * hiddenSize * (querySize + keyValueSize) + 3 * hiddenSize * intermediateSize + 2 * hiddenSize;
}
