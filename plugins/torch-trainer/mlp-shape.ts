import { hasGate } from './model-types.js';

/** MLPs of one size. */
export interface Mlps {
  /** In all layers together. */
  readonly count: number;
  /** How many of them a token goes through. */
  readonly used: number;
  readonly size: number;
  /** Three, or two where there is no gate. */
  readonly matrices: 2 | 3;
  readonly areExperts: boolean;
  /** Whether PEFT puts an adapter on them by itself. */
  readonly areAdapted: boolean;
}

/** What a config has for the first of some keys for which it has a number. */
export type NumberOf = (...keys: readonly string[]) => number | undefined;

type Config = Readonly<Record<string, unknown>>;

const expertCounts = ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'];
const expertsPerToken = ['num_experts_per_tok', 'num_experts_per_token', 'moe_k', 'moe_topk', 'top_k_experts'];
const firstWithExperts = ['first_k_dense_replace', 'num_dense_layers', 'moe_layer_start_index'];
const everyWithExperts = ['decoder_sparse_step', 'interleave_moe_layer_step', 'expert_layer_period', 'moe_layer_freq'];
/**
 * Types on whose experts PEFT puts an adapter by itself, and then on no other MLP: those whose experts transformers once had
 * as linear modules.
 */
const withAdapters =
  /^(afmoe|cohere2_moe|deepseek_v(2|3|32)|dots1|ernie4_5_moe|exaone_moe|flex_olmo|glm4v?_moe(_lite|_text)?|glm_moe_dsa|hunyuan_v1_moe|longcat_flash|mellum|minimax(_m2)?|mixtral|olmoe|qwen3_(moe|next|omni_moe.*)|solar_open)$/;

/**
 * How many layers have experts by the lists of a config, which name layers; undefined where it has none of these. A plan
 * has this number in place of the lists.
 */
export function listedWithExperts(config: Config): number | undefined {
  const types = config.mlp_layer_types;
  if (Array.isArray(types)) return types.filter((type) => type !== 'dense').length;
  // Llama 4's.
  if (Array.isArray(config.moe_layers)) return config.moe_layers.length;
  const [plainOnes, layers] = [config.mlp_only_layers, config.num_hidden_layers];
  if (!Array.isArray(plainOnes) || plainOnes.length === 0 || typeof layers !== 'number') return undefined;
  // Qwen's, beside which every so many have experts.
  const every = typeof config.decoder_sparse_step === 'number' ? config.decoder_sparse_step : 1;
  return Array.from({ length: layers }, (_, index) => index).filter(
    (index) => (index + 1) % every === 0 && !plainOnes.includes(index),
  ).length;
}

/** The MLPs of a Hugging Face config; none where it does not say how large they are, or to how many experts a token goes. */
export function mlpsOf(config: Config, number: NumberOf, layers: number): readonly Mlps[] {
  const experts = number(...expertCounts) ?? 0;
  const mlps =
    experts > 1 && config.is_moe !== false
      ? withExperts(config, number, layers, experts)
      : dense(config, number, layers);
  return mlps.filter(({ count, size }) => count > 0 && size > 0);
}

function dense(config: Config, number: NumberOf, layers: number): readonly Mlps[] {
  const size = denseSizeOf(config, number);
  const matrices = hasGate(config) ? 3 : 2;
  // Gemma 4's layers that have no keys of their own may have an MLP of twice the size.
  const wide = config.use_double_wide_mlp === true ? (number('num_kv_shared_layers') ?? 0) : 0;
  return [plain(layers - wide, size, true, matrices), plain(wide, 2 * size, true, matrices)];
}

function denseSizeOf(config: Config, number: NumberOf): number {
  const size = number('intermediate_size') ?? 0;
  if (config.model_type === 'granitemoehybrid') return number('shared_intermediate_size') ?? size;
  if (config.model_type !== 'lfm2' || config.block_auto_adjust_ff_dim === false) return size;
  // LFM2 takes two thirds of what it is given, rounded up.
  const wanted = Math.floor((number('block_ffn_dim_multiplier') ?? 1) * Math.floor((2 * size) / 3));
  const multiple = number('block_multiple_of') ?? 1;
  return multiple * Math.ceil(wanted / multiple);
}

function withExperts(config: Config, number: NumberOf, layers: number, experts: number): readonly Mlps[] {
  const perToken = number(...expertsPerToken);
  // Doge's experts are vectors.
  if (perToken === undefined || config.model_type === 'doge') return [];
  const every = number(...everyWithExperts) ?? 1;
  const first = number(...firstWithExperts) ?? 0;
  const sparse = number('layers_with_experts') ?? Math.floor((layers - first) / every);
  const size = number('moe_intermediate_size', 'intermediate_size') ?? 0;
  const areAdapted = withAdapters.test(String(config.model_type));
  return [
    plain(layers - sparse, number('intermediate_size_mlp', 'intermediate_size') ?? 0, !areAdapted),
    { count: sparse * experts, used: sparse * perToken, size, matrices: 3, areExperts: true, areAdapted },
    plain(sparse, sizeBesideExperts(config, number, size), !areAdapted),
  ];
}

/** Of what every token goes through in a layer with experts. */
function sizeBesideExperts(config: Config, number: NumberOf, expertSize: number): number {
  if (config.enable_moe_block === true) return number('intermediate_size') ?? 0;
  if (String(config.model_type).startsWith('llama4')) return expertSize;
  const shared = number('n_shared_experts', 'num_shared_experts', 'moe_num_shared_experts') ?? 0;
  return number('shared_expert_intermediate_size', 'shared_intermediate_size') ?? shared * expertSize;
}

function plain(count: number, size: number, areAdapted: boolean, matrices: 2 | 3 = 3): Mlps {
  return { count, used: count, size, matrices, areExperts: false, areAdapted };
}
