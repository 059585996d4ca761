import type { MemoryPart } from 'simmerkit';
import type { Mlps } from './mlp-shape.js';
import type { ModelShape } from './model-shape.js';

interface MemoryWork {
  readonly method: 'full' | 'lora' | 'qlora';
  readonly loraRank: number;
  /** Of a weight that is trained: 4 for float32, 2 for bfloat16. */
  readonly weightBytes: number;
  /** Of activations. */
  readonly activationBytes: number;
  /** Of the largest pass of one device. */
  readonly tokens: number;
  /** Of the longest sequence whose tokens attend to each other. */
  readonly attendedTokens: number;
  /** Kept of each score of attention. */
  readonly scoreBytes: number;
  readonly recomputes: boolean;
  /** Devices that FSDP shards over. */
  readonly shards: number;
}

/** Four bits, and the scales of NF4 with double quantization. */
const quantizedBytes = 0.516;
/** Logits that the loss has at a time on a GPU (head_loss.py), and their gradients, in float32. */
const logitsAtOnce = 2 ** 27;
/** CUDA's context and libraries. */
const contextBytes = 1.5e9;
/** What an allocator cannot use between blocks. */
const fragmentation = 0.05;

/** Memory of one accelerator in training, part by part, in bytes. */
export function trainingMemory(shape: ModelShape, work: MemoryWork): readonly MemoryPart[] {
  const { method, weightBytes, shards } = work;
  const trained = method === 'full' ? shape.parameters : adapterParameters(shape, work.loraRank);
  const frozenBytes = method === 'full' ? 0 : baseBytes(shape, work);
  const parts = [
    { part: 'weights', bytes: (frozenBytes + trained * weightBytes) / shards },
    { part: 'gradients', bytes: (trained * weightBytes) / shards },
    // AdamW keeps two values.
    { part: 'optimizer', bytes: (2 * trained * weightBytes) / shards },
    { part: 'activations', bytes: activationBytes(shape, work) },
    ...(isUnderAutocast(work) ? [{ part: 'cast weights', bytes: castBytes(shape, work) }] : []),
    ...(work.scoreBytes === 0 ? [] : [{ part: 'attention scores', bytes: attentionScoreBytes(shape, work) }]),
    // The layer at work and the one that is fetched meanwhile, and the embeddings, are whole.
    ...(shards === 1 ? [] : [{ part: 'gathered layers', bytes: gatheredBytes(shape, work) }]),
  ];
  const sum = parts.reduce((total, { bytes }) => total + bytes, 0);
  return [...parts, { part: 'overhead', bytes: contextBytes + fragmentation * sum }];
}

/** Of weights that need no room for small updates: in the type of the products, or four bits. */
function baseBytes(
  { parameters, tableParameters, mlps, hiddenSize }: ModelShape,
  { method, activationBytes: bytes }: MemoryWork,
): number {
  if (method !== 'qlora') return bytes * parameters;
  // bitsandbytes quantizes the linear modules of layers, and experts are one tensor.
  const experts = mlps.reduce((sum, { areExperts, count, size }) => sum + (areExperts ? 3 * count * size : 0), 0);
  const whole = hiddenSize * experts + tableParameters;
  return bytes * whole + quantizedBytes * (parameters - whole);
}

function activationBytes(shape: ModelShape, work: MemoryWork): number {
  const { layers, hiddenSize, vocabularySize } = shape;
  const { tokens } = work;
  const layer = layerBytes(shape, work);
  // What goes from layer to layer is added up in the type of the weights.
  const between = isUnderAutocast(work) ? work.weightBytes : work.activationBytes;
  const kept = work.recomputes ? layers * tokens * hiddenSize * between + layer : layers * layer;
  const loss = Math.min(tokens * vocabularySize, logitsAtOnce) * 4 * 2;
  return kept + loss;
}

/** What a layer keeps for its backward pass. */
function layerBytes(shape: ModelShape, work: MemoryWork): number {
  const { layers, hiddenSize, querySize, keyValueSize, mlps, intermediateSize } = shape;
  // Inputs of the two norms, of the projections and of attention; the two halves of the MLP, their product and its factor.
  const dense = 4 * hiddenSize + 2 * querySize + 2 * keyValueSize + 4 * intermediateSize;
  // Each expert that a token goes to has a row of its own, in and out.
  const rows = mlps.reduce((sum, { areExperts, used }) => sum + (areExperts ? used : 0), 0) / layers;
  // Under autocast each of the products of a norm's result has a copy of its own of it; queries and keys are rotated in
  // float32.
  const cast = isUnderAutocast(work) ? 3 * hiddenSize : 0;
  const rotated = isUnderAutocast(work) ? querySize + keyValueSize : 0;
  const values = dense + 2 * rows * hiddenSize + cast;
  // Norms keep their inputs in float32.
  return work.tokens * (values * work.activationBytes + (2 * hiddenSize + rotated) * 4);
}

/** Over weights in float32, products in bfloat16 are a matter of autocast. FSDP gathers weights in their type instead. */
function isUnderAutocast({ method, weightBytes, activationBytes: bytes, shards }: MemoryWork): boolean {
  return shards === 1 && method === 'full' && bytes < weightBytes;
}

/**
 * Autocast keeps what it makes of the weights for a pass forward, and for the pass back, all that is not computed again:
 * then the layer at work has its activations instead.
 */
function castBytes(shape: ModelShape, work: MemoryWork): number {
  const { parameters, tableParameters, vocabularySize, hiddenSize } = shape;
  // Rows of tables are taken as they are; a head is cast whole, also where it is the table of tokens.
  const bytes = (parameters - tableParameters + vocabularySize * hiddenSize) * work.activationBytes;
  return work.recomputes ? Math.max(0, bytes - layerBytes(shape, work)) : bytes;
}

function attentionScoreBytes({ attentionLayers, heads }: ModelShape, work: MemoryWork): number {
  const { tokens, attendedTokens, scoreBytes, recomputes } = work;
  return (recomputes ? 1 : attentionLayers) * heads * tokens * attendedTokens * scoreBytes;
}

function gatheredBytes(shape: ModelShape, { activationBytes: bytes }: MemoryWork): number {
  return (2 * shape.layerParameters + shape.vocabularySize * shape.hiddenSize) * bytes;
}

/** Of an adapter on all linear modules, and on experts where PEFT puts one there. */
function adapterParameters(shape: ModelShape, rank: number): number {
  const { hiddenSize, mixerEnds, mlps } = shape;
  const adapted = mlps.filter(({ areAdapted }) => areAdapted);
  // Two matrices of experts are one, whose adapter has twice the rank.
  const endsOf = ({ areExperts, size, matrices }: Mlps) => matrices * hiddenSize + (areExperts ? 5 : matrices) * size;
  return rank * adapted.reduce((ends, each) => ends + each.count * endsOf(each), mixerEnds);
}
