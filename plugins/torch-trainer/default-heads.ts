/**
 * What transformers takes, type by type, where a config does not say how large a head is (`head_dim`): the class attributes of
 * its configuration_*.py. Of others a head has its share of the hidden size.
 */
const headSizes: Readonly<Record<number, string>> = {
  64: 'gpt_oss',
  128:
    'afmoe cohere2_moe cwm ernie4_5 glm glm4 helium hy_v3 laguna llama4_text mellum minimax_m2 minimax_m3_vl_text ' +
    'ministral3 qwen3 seed_oss solar_open',
  256: 'gemma gemma2 gemma3_text gemma3n_text qwen3_5_moe_text qwen3_5_text qwen3_next vaultgemma',
};

/** The same of how many heads keys have (`num_key_value_heads`). Of others as many as queries. */
const keyHeads: Readonly<Record<number, string>> = {
  2: 'ernie4_5 gemma3n_text glm glm4 qwen3_5_moe_text qwen3_next starcoder2',
  4:
    'ernie4_5_moe gemma2 gemma3_text granite_swa mellum minimax_m3_vl_text qwen3_5_text qwen3_moe smollm3 ' +
    'vaultgemma',
  5: 'bitnet',
  8:
    'bamba cwm falcon_h1 glm4_moe gpt_oss hy_v3 laguna lfm2 llama4_text minimax minimax_m2 ministral3 mistral mixtral ' +
    'phimoe seed_oss solar_open',
  16: 'gemma qwen2_moe',
  20: 'helium',
  32: 'exaone4 exaone_moe qwen2 qwen3 stablelm',
};

/** What a config of a type says of its heads where its file does not. */
export function defaultHeads(type: unknown): Readonly<Record<string, number>> {
  const [headSize, heads] = [headSizes, keyHeads].map((table) => numberOf(table, String(type)));
  return {
    ...(headSize === undefined ? {} : { head_dim: headSize }),
    ...(heads === undefined ? {} : { num_key_value_heads: heads }),
  };
}

function numberOf(table: Readonly<Record<number, string>>, type: string): number | undefined {
  const entry = Object.entries(table).find(([, types]) => types.split(' ').includes(type));
  return entry === undefined ? undefined : Number(entry[0]);
}
