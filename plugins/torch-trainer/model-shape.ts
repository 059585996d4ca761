import { mixersOf } from './mixer-shape.js';
import { type Mlps, mlpsOf, type NumberOf } from './mlp-shape.js';
import { hasPositions, isCounted, isTied, withCommonNames } from './model-types.js';

/** The sizes of a decoder that its costs follow from. */
export interface ModelShape {
  readonly layers: number;
  /** Those with keys and values: all but of hybrids. */
  readonly attentionLayers: number;
  /** Of queries. */
  readonly heads: number;
  readonly hiddenSize: number;
  /** Of keys and values together of one, in elements: heads of keys times their size. */
  readonly keyValueSize: number;
  readonly querySize: number;
  /** Inputs and outputs of all linear modules that mix tokens, all together. */
  readonly mixerEnds: number;
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

/** From a Hugging Face config; undefined where its type is none of those that are counted, or it does not say enough. */
export function shapeOf(given: unknown): ModelShape | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  if (!isCounted(given as Config)) return undefined;
  const config = withCommonNames(given as Config);
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
  const mixers = mixersOf(config, number, layers, hiddenSize, heads);
  // Gemma 3n and 4 have a table for each layer, and what takes its rows in and out.
  const ownSize = number('hidden_size_per_layer_input') ?? 0;
  const ownTables = layers * ownSize * (number('vocab_size_per_layer_input') ?? vocabularySize);
  const weightsOf = (count: 'count' | 'used') =>
    mlps.reduce(
      (sum, each) => sum + each[count] * (each.matrices * each.size + (each.areExperts ? 1 : 0)) * hiddenSize,
      0,
    );
  // Those of OPT-350m are smaller than its layers.
  const ofTokens = (isTied(config) ? 1 : 2) * vocabularySize * (number('word_embed_proj_dim') ?? hiddenSize);
  const ofPositions = hasPositions(config) ? (number('max_position_embeddings') ?? 0) * hiddenSize : 0;
  const ofNorms = (2 * layers + 1) * hiddenSize;
  const tables = ofTokens + ofPositions;
  const shared = mixers.weights + ofNorms + 3 * layers * hiddenSize * ownSize + tables;
  const parameters = shared + ownTables + weightsOf('count');
  if (Number.isNaN(parameters)) return undefined;
  return {
    layers,
    heads,
    hiddenSize,
    attentionLayers: mixers.attentionLayers,
    keyValueSize: mixers.keyValueSize,
    querySize: mixers.querySize,
    mixerEnds: mixers.ends,
    mlps,
    intermediateSize: mlps.reduce((sum, { used, size }) => sum + used * size, 0) / layers,
    vocabularySize,
    parameters,
    activeParameters: shared + weightsOf('used'),
    layerParameters: (mixers.weights + weightsOf('count')) / layers + 2 * hiddenSize,
    tableParameters: tables + ownTables,
  };
}
