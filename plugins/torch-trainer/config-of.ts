import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { StageEstimateContext, z } from 'simmerkit';
import { knownConfig, knownConfigOfFile } from './known-models.js';
import { listedWithAttention } from './mixer-shape.js';
import { listedWithExperts } from './mlp-shape.js';
import { type modelSourceOption, parseModelSource } from './model-source.js';
import { textConfigOf } from './model-types.js';

type Config = Readonly<Record<string, string | number | boolean>>;

/** Of the byte-level tokenizer that random models get: every byte, and three special tokens (byte_tokenizer.py). */
const byteTokens = 259;

/** What config.json says or will say of the sizes of a model; undefined where that is not known before it is there. */
export async function configOf(
  source: z.output<typeof modelSourceOption>,
  { recipeFolder }: Pick<StageEstimateContext, 'recipeFolder'>,
): Promise<Config | undefined> {
  const origin = parseModelSource(source);
  if ('wrong' in origin) return undefined;
  switch (origin.kind) {
    case 'huggingFace':
      return (await readConfig(join(hubFolder(origin), 'config.json'))) ?? knownConfig(origin.repository);
    case 'random':
      return { ...(origin.tokenizer === undefined ? { vocab_size: byteTokens } : {}), ...plain(origin.config) };
    case 'path': {
      const folder = resolve(recipeFolder, origin.path);
      const isFolder = (await stat(folder).catch(() => undefined))?.isDirectory() === true;
      return isFolder ? readConfig(join(folder, 'config.json')) : undefined;
    }
    case 'pypi':
      return knownConfigOfFile(origin.path);
  }
}

/** Where huggingface_hub puts the files of a commit: its `constants.py` says which variables name its cache. */
function hubFolder({ repository, commit }: { readonly repository: string; readonly commit: string }): string {
  const { env } = process;
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  const cache = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub');
  const folder = cache.replace(/^~(?=\/|$)/, homedir());
  return join(folder, `models--${repository.replace('/', '--')}`, 'snapshots', commit);
}

async function readConfig(file: string): Promise<Config | undefined> {
  try {
    return plain(JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, unknown>>);
  } catch {
    return undefined;
  }
}

/** What is nested beside a language model says nothing of its sizes. */
function plain(given: Readonly<Record<string, unknown>>): Config {
  const config = textConfigOf(given);
  const size = config.intermediate_size;
  // Gemma 3n's layers have a size each.
  const mean = Array.isArray(size)
    ? { intermediate_size: size.reduce((sum, each) => sum + each, 0) / size.length }
    : {};
  const counts = {
    layers_with_experts: listedWithExperts(config),
    layers_with_attention: listedWithAttention(config),
  };
  const entries = Object.entries({ ...config, ...mean, ...counts });
  return Object.fromEntries(
    entries.filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value)),
  ) as Config;
}
