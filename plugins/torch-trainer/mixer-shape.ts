import type { NumberOf } from './mlp-shape.js';

/** What of all layers mixes tokens: attention, and where there is, what stands in its place or beside it. */
export interface Mixers {
  readonly weights: number;
  /** Inputs and outputs of all linear modules, all together: what the size of an adapter follows from. */
  readonly ends: number;
  /** Layers with keys and values. */
  readonly attentionLayers: number;
  /** Of queries, and of keys and values together of one, in elements: heads times their size. */
  readonly querySize: number;
  readonly keyValueSize: number;
}

/** Of one layer. */
interface Mixer {
  readonly linears: readonly (readonly [from: number, to: number])[];
  readonly otherWeights: number;
}

interface LinearMixer extends Mixer {
  /** Share of layers that have attention instead, where the config does not say. */
  readonly attentionByDefault: number;
}

type Config = Readonly<Record<string, unknown>>;

/** Types with gates on what attention gives, made beside the queries or by a module of their own. */
const withOutputGate = /^(afmoe|qwen3_5.*|qwen3_next)$/;
/** Of attention and a linear mixer in every layer. */
const withBoth = /^falcon_h1$/;

/**
 * How many layers have attention by the lists of a config; undefined where it has none of these. A plan has this number in
 * place of the lists.
 */
export function listedWithAttention(config: Config): number | undefined {
  const types = config.layer_types ?? config.layers_block_type;
  if (Array.isArray(types)) return types.filter((type) => /^(?!linear_).*attention$/.test(String(type))).length;
  const indices = config.attn_layer_indices ?? config.full_attn_idxs;
  return Array.isArray(indices) ? indices.length : undefined;
}

export function mixersOf(
  { model_type: type }: Config,
  number: NumberOf,
  layers: number,
  hiddenSize: number,
  heads: number,
): Mixers {
  const { querySize, keyValueSize, ...attention } = attentionOf(String(type), number, hiddenSize, heads);
  const linear = linearMixerOf(String(type), number, hiddenSize);
  const interval = number('full_attention_interval');
  const unlisted = interval === undefined ? (linear?.attentionByDefault ?? 1) * layers : layers / interval;
  const listed = number('layers_with_attention') ?? Math.floor(unlisted);
  const hasBoth = withBoth.test(String(type));
  const attentionLayers = linear === undefined || hasBoth ? layers : listed;
  const linearLayers = hasBoth ? layers : layers - attentionLayers;
  const total = (of: (mixer: Mixer) => number) =>
    attentionLayers * of(attention) + (linear === undefined ? 0 : linearLayers * of(linear));
  return {
    weights: total(({ linears, otherWeights }) => sumOf(linears, ([from, to]) => from * to) + otherWeights),
    ends: total(({ linears }) => sumOf(linears, ([from, to]) => from + to)),
    attentionLayers,
    querySize,
    keyValueSize,
  };
}

function attentionOf(
  type: string,
  number: NumberOf,
  hiddenSize: number,
  heads: number,
): Mixer & Pick<Mixers, 'querySize' | 'keyValueSize'> {
  const latent = number('kv_lora_rank');
  if (latent !== undefined) return latentAttentionOf(number, hiddenSize, heads, latent);
  const headSize = number('head_dim') ?? hiddenSize / heads;
  const querySize = heads * headSize;
  const keyValueSize = (number('num_key_value_heads') ?? heads) * headSize;
  const linears: Mixer['linears'] = [
    [hiddenSize, withOutputGate.test(type) ? 2 * querySize : querySize],
    [hiddenSize, keyValueSize],
    [hiddenSize, keyValueSize],
    [querySize, hiddenSize],
  ];
  return { linears, otherWeights: 0, querySize, keyValueSize };
}

/** DeepSeek's: keys and values of all heads come from a latent, to which a rotated part is added. */
function latentAttentionOf(number: NumberOf, hiddenSize: number, heads: number, latent: number) {
  const [plain = 0, rotated = 0] = [number('qk_nope_head_dim'), number('qk_rope_head_dim')];
  const valueSize = heads * (number('v_head_dim') ?? plain);
  const querySize = heads * (plain + rotated);
  const queryLatent = number('q_lora_rank');
  const linears: (readonly [number, number])[] = [
    [hiddenSize, latent + rotated],
    [latent, heads * plain + valueSize],
    [valueSize, hiddenSize],
  ];
  if (queryLatent === undefined) linears.push([hiddenSize, querySize]);
  else linears.push([hiddenSize, queryLatent], [queryLatent, querySize]);
  const [indexHeads, indexSize] = [number('index_n_heads') ?? 0, number('index_head_dim') ?? 0];
  if (indexHeads > 0 && queryLatent !== undefined) {
    linears.push([queryLatent, indexHeads * indexSize], [hiddenSize, indexSize], [hiddenSize, indexHeads]);
  }
  return { linears, otherWeights: latent + (queryLatent ?? 0), querySize, keyValueSize: (querySize + valueSize) / 2 };
}

/** What hybrids have in most layers. */
function linearMixerOf(type: string, number: NumberOf, hiddenSize: number): LinearMixer | undefined {
  if (/^(olmo_hybrid|qwen3_5.*|qwen3_next)$/.test(type)) {
    // Gated delta nets.
    const valueHeads = number('linear_num_value_heads') ?? Number.NaN;
    const keySize = (number('linear_num_key_heads') ?? Number.NaN) * (number('linear_key_head_dim') ?? Number.NaN);
    const valueSize = valueHeads * (number('linear_value_head_dim') ?? Number.NaN);
    return {
      linears: [
        [hiddenSize, 2 * keySize + valueSize],
        [hiddenSize, valueSize],
        [hiddenSize, valueHeads],
        [hiddenSize, valueHeads],
        [valueSize, hiddenSize],
      ],
      otherWeights: (2 * keySize + valueSize) * (number('linear_conv_kernel_dim') ?? 4),
      attentionByDefault: 1 / 4,
    };
  }
  if (/^(bamba|falcon_h1|granitemoehybrid)$/.test(type)) {
    // Mamba 2.
    const size = number('mamba_d_ssm') ?? (number('mamba_expand') ?? 2) * hiddenSize;
    const convolved = size + 2 * (number('mamba_n_groups') ?? 1) * (number('mamba_d_state') ?? Number.NaN);
    return {
      linears: [
        [hiddenSize, size + convolved + (number('mamba_n_heads') ?? Number.NaN)],
        [size, hiddenSize],
      ],
      otherWeights: convolved * ((number('mamba_d_conv') ?? 4) + 1),
      attentionByDefault: 0,
    };
  }
  if (type !== 'lfm2') return undefined;
  // Short convolutions.
  return {
    linears: [
      [hiddenSize, 3 * hiddenSize],
      [hiddenSize, hiddenSize],
    ],
    otherWeights: hiddenSize * (number('conv_L_cache') ?? 3),
    attentionByDefault: 1,
  };
}

function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}
