/** Types of decoders for which transformers has no SDPA (`_supports_sdpa`), so that its eager attention computes them. */
const withoutSdpa = new Set([
  'bloom',
  'codegen',
  'cpmant',
  'deepseek_v4',
  'gpt_neo',
  'gpt_neox_japanese',
  'gpt_oss',
  'gptj',
  'granite_swa',
  'granitemoe_swa',
  'hy_v4',
  'mimo_v2_flash',
  'mpt',
  'openai-gpt',
  'xglm',
]);

interface Attention {
  /** What config.json says of the model. */
  readonly config: unknown;
  /** As `extensions` ask for it. */
  readonly asked: unknown;
  readonly packing: boolean;
  /** Of activations. */
  readonly activationBytes: number;
}

/**
 * Bytes that attention keeps of each score for the backward pass. 0: a kernel computes it, which keeps none, as the trainer
 * chooses where flash-attn is not installed (kernels.py).
 */
export function keptScoreBytes({ config, asked, packing, activationBytes }: Attention): number {
  const { attn_logit_softcapping: cap, model_type: type } = Object(config) as Readonly<Record<string, unknown>>;
  const hasCap = typeof cap === 'number';
  const needsEager = hasCap || withoutSdpa.has(String(type));
  const isEager = asked === 'eager' || ((asked ?? 'auto') === 'auto' && needsEager && !packing);
  if (!isEager) return 0;
  // What softmax gives, in float32, and the same in the type of the products; what the cap gives.
  const rounded = activationBytes < 4 ? activationBytes : 0;
  return 4 + rounded + (hasCap ? activationBytes : 0);
}
