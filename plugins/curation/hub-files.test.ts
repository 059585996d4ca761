import { createHash } from 'node:crypto';
import { access, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { load } from './load.stage.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

type Options = Readonly<Record<string, unknown>>;

const loadWith = (options: Options, signal = new AbortController().signal) =>
  runStage(load, { options, recipeFolder: folder, cacheFolder: join(folder, 'cache'), signal });
const lines = '{"question":"Q0"}\n{"question":"Q1"}';
const questions = (result: Awaited<ReturnType<typeof loadWith>>) => result.rows('dataset').map((row) => row.question);

describe('curation/load from Hugging Face', () => {
  const commit = 'a'.repeat(40);
  const path = `hf://datasets/openai/gsm8k@${commit}/main/test.jsonl`;
  const kept = () => join(folder, 'cache', 'datasets', 'openai', 'gsm8k', commit, 'main');
  let server: Server;
  let requests: string[];
  /** Answers requests of the file, in their order; the last one also all that come after it. */
  let answers: ((response: ServerResponse, request: IncomingMessage) => unknown)[];
  const whole = (response: ServerResponse) => response.writeHead(200, { etag: '"1"' }).end(lines);
  beforeEach(async () => {
    requests = [];
    answers = [whole];
    // Backoffs are jittered by it: with this they take no time.
    vi.spyOn(Math, 'random').mockReturnValue(-0.5);
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
      if (request.url?.endsWith('main/test.jsonl') === true)
        return (answers.length > 1 ? answers.shift() : answers[0])?.(response, request);
      response.writeHead(request.url?.includes('gated') === true ? 401 : 404).end();
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    server.closeAllConnections();
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
      message: expect.stringContaining("matches none of the dataset's 4 files"),
    });
    // Thirty stars fit a name of sixty letters in more ways than can be tried.
    const slow = loadWith({ sources: { pool: { path: path.replace('test', `${'*a'.repeat(30)}b`) } } });
    await expect(slow).rejects.toMatchObject({ code: 'not_found' });
  });

  it('refuses a file that another has taken the place of while others were fetched', async () => {
    const local = join(folder, 'local.jsonl');
    await writeFile(local, lines);
    const sha256 = createHash('sha256').update(lines).digest('hex');
    answers = [(response) => writeFile(local, '{"question":"another"}').then(() => whole(response))];
    const loading = loadWith({ sources: { a: { path: 'local.jsonl', sha256 }, b: { path } } });
    await expect(loading).rejects.toMatchObject({ code: 'checksum_differs', message: expect.stringContaining(local) });
  });

  it('keeps nothing that is not what its SHA-256 says', async () => {
    const loading = loadWith({ sources: { pool: { path, sha256: 'b'.repeat(64) } } });
    await expect(loading).rejects.toMatchObject({ code: 'checksum_differs' });
    await expect(access(join(kept(), 'test.jsonl'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    ['not_found', `hf://datasets/openai/gsm8k@${commit}/none.jsonl`],
    ['access_denied', `hf://datasets/gated/gpqa@${commit}/x.jsonl`],
  ])('says %s', async (code, uri) => {
    await expect(loadWith({ sources: { pool: { path: uri } } })).rejects.toMatchObject({ code, kind: 'environment' });
    expect(requests).toHaveLength(1);
  });

  it.each([
    `hf://datasets/../gsm8k@${commit}/main/test.jsonl`,
    `hf://datasets/./gsm8k@${commit}/main/test.jsonl`,
    `hf://datasets/openai/.@${commit}/main/test.jsonl`,
    `hf://datasets/openai/..@${commit}/main/test.jsonl`,
    'hf://datasets/./.@../main/test.jsonl',
    'hf://datasets/openai/gsm8k@../main/test.jsonl',
    `hf://datasets/openai/gsm8k@${commit}/../main/test.jsonl`,
    `hf://datasets/openai/gsm8k@${commit}/main/..`,
  ])('refuses %s, which is a way out of the dataset', async (uri) => {
    await expect(loadWith({ sources: { pool: { path: uri, movable: true } } })).rejects.toThrow('OWNER/NAME@REVISION');
    expect(requests).toEqual([]);
  });

  it('asks for the file of a name, whatever the name would be in a URL', async () => {
    for (const name of ['..\\..\\..\\..\\api\\whoami-v2', 'x#y', '%2e%2e'])
      await expect(
        loadWith({ sources: { pool: { path: `hf://datasets/openai/gsm8k@${commit}/${name}` } } }),
      ).rejects.toMatchObject({ code: 'not_found' });
    const base = `/datasets/openai/gsm8k/resolve/${commit}`;
    expect(requests).toEqual([`${base}/..%5C..%5C..%5C..%5Capi%5Cwhoami-v2`, `${base}/x%23y`, `${base}/%252e%252e`]);
  });

  it('says what to do without a network', async () => {
    await new Promise((closed) => server.close(closed));
    await expect(loadWith({ sources: { pool: { path } } })).rejects.toMatchObject({
      code: 'no_network',
      kind: 'environment',
      hint: expect.stringContaining('give its path instead'),
    });
  });

  const half = Math.floor(lines.length / 2);
  const sendHalf = async (response: ServerResponse) => {
    response.writeHead(200, { etag: '"1"', 'content-length': lines.length }).write(lines.slice(0, half));
    const keptBytes = async () => {
      const partial = (await readdir(kept())).find((name) => name.endsWith('.partial'));
      return (await stat(join(kept(), partial ?? ''))).size;
    };
    await expect.poll(() => keptBytes().catch(() => 0)).toBe(half);
  };
  const dropAfterHalf = async (response: ServerResponse) => {
    await sendHalf(response);
    response.destroy();
  };
  const rest = (etag: string, text: string) => (response: ServerResponse) => {
    const range = `bytes ${half}-${lines.length - 1}/${lines.length}`;
    response.writeHead(206, { etag, 'content-range': range }).end(text.slice(half));
  };

  it('goes on from the bytes that it has where the connection drops, and says how far it is', async () => {
    let asked: IncomingMessage['headers'] | undefined;
    answers = [
      dropAfterHalf,
      (response, request) => {
        asked = request.headers;
        rest('"1"', lines)(response);
      },
    ];
    const result = await loadWith({ sources: { pool: { path } } });
    expect(questions(result)).toEqual(['Q0', 'Q1']);
    expect(asked).toMatchObject({ range: `bytes=${half}-`, 'if-range': '"1"' });
    const told = result.events.flatMap(({ type, data }) => (type === 'stage.progressed' ? [data] : []));
    expect(told.filter(({ unit }) => unit === 'bytes')).toMatchObject([{ done: lines.length, total: lines.length }]);
    const logged = result.logged.map(({ level, message }) => `${level}: ${message}`);
    expect(logged).toEqual([
      expect.stringMatching(/^info: Fetching http:.*test\.jsonl$/),
      expect.stringMatching(/^warning: hf:.* could not be fetched: .*\. Trying again in 0\.0s\.$/),
      expect.stringMatching(/^info: Fetching http:.*, going on after 17 B$/),
    ]);
  });

  const changed = lines.replaceAll('Q', 'R');
  const wholeChanged = (response: ServerResponse) => response.writeHead(200, { etag: '"2"' }).end(changed);
  it.each([
    ['ranges are not served', [whole], ['Q0', 'Q1']],
    ['the file has changed', [wholeChanged], ['R0', 'R1']],
    ['the file has changed and If-Range is not heeded', [rest('"2"', changed), wholeChanged], ['R0', 'R1']],
    ['the file has become shorter', [(response) => response.writeHead(416).end(), wholeChanged], ['R0', 'R1']],
  ] satisfies [string, typeof answers, string[]][])('begins anew where %s', async (_, later, expected) => {
    answers = [dropAfterHalf, ...later];
    expect(questions(await loadWith({ sources: { pool: { path } } }))).toEqual(expected);
    expect(requests).toHaveLength(1 + later.length);
  });

  it('asks again after a 503, and after a 429 not before its Retry-After', async () => {
    const askedAt: number[] = [];
    answers = [
      (response) => response.writeHead(503).end(),
      (response) => {
        askedAt.push(performance.now());
        response.writeHead(429, { 'retry-after': '1' }).end();
      },
      (response) => {
        askedAt.push(performance.now());
        whole(response);
      },
    ];
    expect(questions(await loadWith({ sources: { pool: { path } } }))).toEqual(['Q0', 'Q1']);
    expect(askedAt[1]! - askedAt[0]!).toBeGreaterThanOrEqual(990);
  });

  it('gives up after some tries, and leaves nothing behind', async () => {
    answers = [dropAfterHalf, (response) => response.writeHead(503).end()];
    await expect(loadWith({ sources: { pool: { path } } })).rejects.toMatchObject({
      code: 'no_network',
      message: expect.stringContaining('HTTP 503'),
    });
    expect(requests).toHaveLength(6);
    expect(await readdir(kept())).toEqual([]);
  });

  it.each([
    ['answers nothing', () => {}],
    ['stops in the middle', sendHalf],
  ])('stops at once when it is canceled while the server %s', async (_, answer) => {
    const controller = new AbortController();
    const reason = new Error('stopped by the user');
    answers = [
      async (response) => {
        await answer(response);
        controller.abort(reason);
      },
    ];
    await expect(loadWith({ sources: { pool: { path } } }, controller.signal)).rejects.toBe(reason);
    expect(requests).toHaveLength(1);
    expect(await readdir(kept())).toEqual([]);
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
