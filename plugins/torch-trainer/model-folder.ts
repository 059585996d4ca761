import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from 'simmerkit';

/** What can be read from a Hugging Face folder without loading it. */
interface ModelFacts {
  /** e.g. "LlamaForCausalLM"; null where the config names none. */
  readonly architecture: string | null;
  readonly parameters: number;
  /** In tokens; null where the config does not say. */
  readonly contextLength: number | null;
}

/** Of a checkpoint that several ranks wrote (shards.py). */
const shardsFolder = 'pytorch_model_fsdp_0';

const wholeAtEnd =
  'Name the model that its training writes at the end; `simmer resume` goes on with a run that was stopped.';

const mergeOf = (folder: string) =>
  `Or export it: copy its *.json and *.jinja files to a new folder, and have accelerate of the trainer's Python write the ` +
  `weights there: accelerate merge-weights ${join(folder, shardsFolder)} NEW_FOLDER.`;

/**
 * Checks that a folder is a whole model, and says what is in it. Reads headers only.
 * @throws UserError `model_invalid`
 */
export async function readModelFolder(folder: string): Promise<ModelFacts> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw invalid(folder, error.code === 'ENOTDIR' ? 'it is a file' : 'it is not there');
  });
  const config = await readConfig(folder);
  const weights = names.filter((name) => name.endsWith('.safetensors')).sort();
  if (weights.length === 0 && names.includes(shardsFolder)) {
    const why = 'it is a checkpoint of several ranks, whose weights are shards';
    throw invalid(folder, why, names.includes('adapter_config.json') ? wholeAtEnd : `${wholeAtEnd} ${mergeOf(folder)}`);
  }
  if (weights.length === 0) {
    const others = names.filter((name) => /\.(bin|pt|pth|gguf)$/.test(name));
    const found = others.length === 0 ? 'it has no weights (*.safetensors)' : `its weights are ${others.join(', ')}`;
    throw invalid(
      folder,
      found,
      others.length === 0 ? undefined : 'Convert them to safetensors; a GGUF file is named itself, not its folder.',
    );
  }
  if (!names.some((name) => /^(tokenizer\.json|tokenizer\.model|tokenizer_config\.json|vocab\.json)$/.test(name))) {
    throw invalid(folder, 'it has no tokenizer (tokenizer.json)');
  }
  await checkIndex(folder, names);
  const counts = await Promise.all(weights.map((name) => countParameters(folder, name)));
  const [architecture] = Array.isArray(config.architectures) ? config.architectures : [];
  const contextLength = config.max_position_embeddings;
  return {
    architecture: typeof architecture === 'string' ? architecture : null,
    parameters: counts.reduce((sum, count) => sum + count, 0),
    contextLength: typeof contextLength === 'number' ? contextLength : null,
  };
}

/** Whether a file starts as GGUF files do. */
export async function isGguf(file: string): Promise<boolean> {
  await using handle = await open(file, 'r');
  const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.toString('latin1') === 'GGUF';
}

async function readConfig(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(join(folder, 'config.json'), 'utf8').catch(() => {
    throw invalid(folder, 'it has no config.json');
  });
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === 'object' && config !== null && 'model_type' in config) {
      return config as Readonly<Record<string, unknown>>;
    }
  } catch (cause) {
    throw invalid(folder, `its config.json is not JSON: ${(cause as Error).message}`);
  }
  throw invalid(folder, 'its config.json has no model_type');
}

/** A sharded model names its shards. */
async function checkIndex(folder: string, names: readonly string[]): Promise<void> {
  const text = await readFile(join(folder, 'model.safetensors.index.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const index = JSON.parse(text) as { readonly weight_map?: Readonly<Record<string, string>> };
  const missing = [...new Set(Object.values(index.weight_map ?? {}))].filter((name) => !names.includes(name));
  if (missing.length > 0) throw invalid(folder, `${missing.join(', ')} of its shards are missing`);
}

/** Counts the elements in a safetensors file by its header, and checks that the file has all that the header promises. */
async function countParameters(folder: string, name: string): Promise<number> {
  await using handle = await open(join(folder, name), 'r');
  const { size } = await handle.stat();
  const length = Buffer.alloc(8);
  await handle.read(length, 0, 8, 0);
  const headerBytes = Number(length.readBigUInt64LE());
  if (size < 8 || headerBytes > size - 8 || headerBytes > 100_000_000) {
    const start = Buffer.alloc(Math.min(size, 40));
    await handle.read(start, 0, start.length, 0);
    const isPointer = start.toString('latin1').startsWith('version https://git-lfs');
    throw invalid(folder, isPointer ? `${name} is only a Git LFS pointer` : `${name} is no safetensors file`);
  }
  const header = Buffer.alloc(headerBytes);
  await handle.read(header, 0, headerBytes, 8);
  let parameters = 0;
  let end = 0;
  try {
    const tensors = JSON.parse(header.toString('utf8')) as Record<
      string,
      { shape?: number[]; data_offsets?: number[] }
    >;
    for (const [tensor, { shape, data_offsets: offsets }] of Object.entries(tensors)) {
      if (tensor === '__metadata__' || shape === undefined) continue;
      parameters += shape.reduce((product, dimension) => product * dimension, 1);
      end = Math.max(end, offsets?.[1] ?? 0);
    }
  } catch (cause) {
    throw invalid(folder, `${name} has a broken header: ${(cause as Error).message}`);
  }
  if (size < 8 + headerBytes + end) throw invalid(folder, `${name} is cut short (${size} bytes)`);
  return parameters;
}

function invalid(folder: string, why: string, hint?: string): UserError {
  return new UserError('model_invalid', `${folder} is not a Hugging Face model folder: ${why}.`, {
    hint: hint ?? 'A model folder has config.json, *.safetensors and tokenizer.json, as save_pretrained() writes them.',
  });
}
