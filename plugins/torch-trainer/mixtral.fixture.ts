/** What of its published config.json says how large Mixtral 8x7B is. */
export const mixtral8x7B = {
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 32000,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  tie_word_embeddings: false,
};
