type Sizes = readonly [
  layers: number,
  hidden: number,
  intermediate: number,
  heads: number,
  keyValueHeads: number,
  vocabulary: number,
  isTied: boolean,
];

/** From the config.json of each repository, for plans that are made before the model is fetched. */
const sizes: Readonly<Record<string, Sizes>> = {
  'HuggingFaceTB/SmolLM2-135M': [30, 576, 1536, 9, 3, 49_152, true],
  'HuggingFaceTB/SmolLM2-360M': [32, 960, 2560, 15, 5, 49_152, true],
  'HuggingFaceTB/SmolLM2-1.7B': [24, 2048, 8192, 32, 32, 49_152, true],
  'Qwen/Qwen2.5-0.5B': [24, 896, 4864, 14, 2, 151_936, true],
  'Qwen/Qwen2.5-1.5B': [28, 1536, 8960, 12, 2, 151_936, true],
  'Qwen/Qwen2.5-3B': [36, 2048, 11_008, 16, 2, 151_936, true],
  'Qwen/Qwen2.5-7B': [28, 3584, 18_944, 28, 4, 152_064, false],
  'Qwen/Qwen2.5-14B': [48, 5120, 13_824, 40, 8, 152_064, false],
  'Qwen/Qwen2.5-32B': [64, 5120, 27_648, 40, 8, 152_064, false],
  'Qwen/Qwen2.5-72B': [80, 8192, 29_568, 64, 8, 152_064, false],
  'Qwen/Qwen2.5-Math-1.5B': [28, 1536, 8960, 12, 2, 151_936, true],
  'Qwen/Qwen2.5-Math-7B': [28, 3584, 18_944, 28, 4, 152_064, false],
  'meta-llama/Llama-2-7b': [32, 4096, 11_008, 32, 32, 32_000, false],
  'meta-llama/Llama-2-13b': [40, 5120, 13_824, 40, 40, 32_000, false],
  'meta-llama/Llama-3.2-1B': [16, 2048, 8192, 32, 8, 128_256, true],
  'meta-llama/Llama-3.2-3B': [28, 3072, 8192, 24, 8, 128_256, true],
  'meta-llama/Llama-3.1-8B': [32, 4096, 14_336, 32, 8, 128_256, false],
  'meta-llama/Llama-3.1-70B': [80, 8192, 28_672, 64, 8, 128_256, false],
  'meta-llama/Llama-3.3-70B': [80, 8192, 28_672, 64, 8, 128_256, false],
};

const headSizes: Readonly<Record<string, number>> = { 'meta-llama/Llama-3.2-3B': 128 };

/**
 * What config.json of a well-known repository says of its sizes; undefined for others. Models that were only trained
 * further have the sizes of their base.
 */
export function knownConfig(repository: string): Readonly<Record<string, string | number | boolean>> | undefined {
  const base = repository.replace(/-(?:Instruct|hf|chat-hf)$/, '');
  const found = sizes[base];
  if (found === undefined) return undefined;
  const [layers, hidden, intermediate, heads, keyValueHeads, vocabulary, isTied] = found;
  return {
    num_hidden_layers: layers,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: headSizes[base] ?? hidden / heads,
    vocab_size: vocabulary,
    tie_word_embeddings: isTied,
  };
}

/** The same of a GGUF file, whose name is that of the model and of its quantization. */
export function knownConfigOfFile(path: string): ReturnType<typeof knownConfig> {
  const name =
    path
      .split('/')
      .at(-1)
      ?.replace(/[.-](?:I?Q\d|B?F\d)[^.]*\.gguf$/i, '') ?? '';
  const base = name.replace(/-Instruct$/i, '');
  const repository = Object.keys(sizes).find((each) => each.split('/').at(-1) === base);
  return repository === undefined ? undefined : knownConfig(repository);
}
