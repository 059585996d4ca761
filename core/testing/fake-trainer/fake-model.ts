import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelSource } from '../../generated/simmer/trainer/v1/trainer.js';

/** What a fake model is: what it says depends on its name and nothing else. */
export interface FakeModel {
  readonly name: string;
  /** How often it was trained, fractions included: from where the losses of a training fall. */
  readonly trained: number;
}

/** A model that cannot be used; the message says why. */
export class ModelInvalidError extends Error {}

/** @throws ModelInvalidError */
export async function readFakeModel(source: ModelSource | undefined): Promise<FakeModel> {
  switch (source?.source?.$case) {
    case 'folder':
    case 'checkpoint':
      return readFolder(source.source.value);
    case 'ggufFile':
      return untrained(`gguf-${await digestOf(source.source.value)}`);
    case 'random': {
      const { config, seed } = source.source.value;
      return untrained(`random-${digest(`${JSON.stringify(config)} ${seed}`)}`);
    }
    case undefined:
      throw new ModelInvalidError('the request names no model');
  }
}

/** The model that training made of another. @param how what else bears on the weights */
export function trainedModel(model: FakeModel, how: string, steps: number, trained: number): FakeModel {
  return { name: `trained-${digest(`${model.name} ${how} ${steps}`)}`, trained };
}

/**
 * Writes a Hugging Face folder in form: small, and of no use to anything but another fake trainer.
 * @param tensors names of those that its weights are dealt out to
 */
export async function writeFakeModel(
  folder: string,
  model: FakeModel,
  tensors: readonly string[] = ['weight'],
): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true });
  const size = 32 / tensors.length;
  const described = tensors.map((name, index) => {
    return [name, { dtype: 'U8', shape: [size], data_offsets: [index * size, (index + 1) * size] }] as const;
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(described)).padEnd(128));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const files: Readonly<Record<string, string | Buffer>> = {
    'config.json': json({
      architectures: ['FakeForCausalLM'],
      model_type: 'fake',
      fake_name: model.name,
      fake_trained: model.trained,
    }),
    'generation_config.json': json({ eos_token_id: 0 }),
    'tokenizer_config.json': json({ chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}' }),
    'model.safetensors': Buffer.concat([length, header, createHash('sha256').update(model.name).digest()]),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { flush: true });
  return Object.keys(files);
}

async function readFolder(folder: string): Promise<FakeModel> {
  let config: { fake_name?: unknown; fake_trained?: unknown };
  try {
    config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as typeof config;
  } catch (cause) {
    throw new ModelInvalidError(`${folder} is no model folder: ${(cause as Error).message}`, { cause });
  }
  if (typeof config.fake_name === 'string')
    return { name: config.fake_name, trained: Number(config.fake_trained ?? 0) };
  const weights = (await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort();
  if (weights.length === 0) throw new ModelInvalidError(`${folder} is no model folder: it has no safetensors file`);
  return untrained(`folder-${digest(JSON.stringify(config))}`);
}

function untrained(name: string): FakeModel {
  return { name, trained: 0 };
}

async function digestOf(file: string): Promise<string> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
      .slice(0, 16);
  } catch (cause) {
    throw new ModelInvalidError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
