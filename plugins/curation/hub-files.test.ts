import { access, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { load } from './load.stage.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simmer-load-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Options = Readonly<Record<string, unknown>>;

const loadWith = (options: Options) =>
  runStage(load, { options, recipeFolder: folder, cacheFolder: join(folder, 'cache') });
const lines = '{"question":"Q0"}\n{"question":"Q1"}';
const questions = (result: Awaited<ReturnType<typeof loadWith>>) => result.rows('dataset').map((row) => row.question);

describe('curation/load from Hugging Face', () => {
  const commit = 'a'.repeat(40);
  const path = `hf://datasets/openai/gsm8k@${commit}/main/test.jsonl`;
  let server: Server;
  let requests: string[];
  beforeEach(async () => {
    requests = [];
    server = createServer((request, response) => {
      requests.push(request.url ?? '');
      if (request.url?.startsWith('/api/') === true) {
        const next = request.url.includes('cursor')
          ? {}
          : { link: `<http://${request.headers.host}${request.url}&cursor=2>; rel="next"` };
        const names = request.url.includes('cursor')
          ? ['main/test.jsonl', `main/${'a'.repeat(60)}`]
          : ['README.md', 'other/deep/test.jsonl'];
        const entries = [{ type: 'directory', path: 'main' }, ...names.map((name) => ({ type: 'file', path: name }))];
        response.writeHead(200, next).end(JSON.stringify(entries));
        return;
      }
      const isThere = request.url?.endsWith('main/test.jsonl') === true;
      response.writeHead(isThere ? 200 : request.url?.includes('gated') === true ? 401 : 404).end(isThere ? lines : '');
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    if (server.listening) await new Promise((closed) => server.close(closed));
  });

  it('fetches a file once', async () => {
    for (const _ of [1, 2]) expect(questions(await loadWith({ sources: { pool: { path } } }))).toEqual(['Q0', 'Q1']);
    expect(requests).toEqual([`/datasets/openai/gsm8k/resolve/${commit}/main/test.jsonl`]);
  });

  it('fetches what a glob matches, and lists the files once', async () => {
    const glob = path.replace('main/test', '*/te?t');
    for (const _ of [1, 2])
      expect(questions(await loadWith({ sources: { pool: { path: glob } } }))).toEqual(['Q0', 'Q1']);
    const list = `/api/datasets/openai/gsm8k/tree/${commit}?recursive=true`;
    expect(requests).toEqual([list, `${list}&cursor=2`, `/datasets/openai/gsm8k/resolve/${commit}/main/test.jsonl`]);
    const none = loadWith({ sources: { pool: { path: path.replace('main', 'x*') } } });
    await expect(none).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('matches none of the 4 files'),
    });
    // Thirty stars fit a name of sixty letters in more ways than can be tried.
    const slow = loadWith({ sources: { pool: { path: path.replace('test', `${'*a'.repeat(30)}b`) } } });
    await expect(slow).rejects.toMatchObject({ code: 'not_found' });
  });

  it('keeps nothing that is not what its SHA-256 says', async () => {
    const loading = loadWith({ sources: { pool: { path, sha256: 'b'.repeat(64) } } });
    await expect(loading).rejects.toMatchObject({ code: 'checksum_differs' });
    const kept = join(folder, 'cache', 'datasets', 'openai', 'gsm8k', commit, 'main', 'test.jsonl');
    await expect(access(kept)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    ['not_found', `hf://datasets/openai/gsm8k@${commit}/none.jsonl`],
    ['access_denied', `hf://datasets/gated/gpqa@${commit}/x.jsonl`],
  ])('says %s', async (code, uri) => {
    await expect(loadWith({ sources: { pool: { path: uri } } })).rejects.toMatchObject({ code, kind: 'environment' });
  });

  it('says what to do without a network', async () => {
    await new Promise((closed) => server.close(closed));
    await expect(loadWith({ sources: { pool: { path } } })).rejects.toMatchObject({
      code: 'no_network',
      kind: 'environment',
      hint: expect.stringContaining('give its path instead'),
    });
  });

  it('wants a revision that cannot move', async () => {
    const problems = async (source: Options) => {
      const options = load.options.parse({ sources: { pool: source } });
      return (await load.check?.(options, { recipeFolder: '.' }))?.map((problem) => problem.code);
    };
    const branch = 'hf://datasets/openai/gsm8k@main/main/test.jsonl';
    expect(await problems({ path })).toEqual([]);
    expect(await problems({ path: branch })).toEqual(['revision_not_pinned']);
    expect(await problems({ path: branch, sha256: 'c'.repeat(64) })).toEqual([]);
    expect(await problems({ path: branch, movable: true })).toEqual([]);
    expect(await problems({ path, where: { level: '(' } })).toEqual(['invalid_pattern']);
    expect(load.options.safeParse({ sources: { pool: { path: 'hf://openai/gsm8k' } } }).success).toBe(false);
  });
});
