import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  fitsPattern,
  formatBytes,
  formatCounted,
  formatDuration,
  isGlob,
  type Pace,
  PassingFailure,
  pace,
  retryAfter,
  retryPassing,
  type StageContext,
  UserError,
  writingToCache,
} from 'simmerkit';
import { checkSha256 } from './check-sha256.js';
import { hubUri } from './load-options.js';

/** What fetching takes of a stage's context. */
export type Where = Pick<
  StageContext<unknown, Record<string, never>>,
  'recipeFolder' | 'cacheFolder' | 'signal' | 'log' | 'emit'
>;

/** How often a request is made again. */
const retries = 5;

/** A file of a dataset on Hugging Face, or a glob of them. */
interface HubFile {
  readonly uri: string;
  readonly owner: string;
  readonly dataset: string;
  readonly revision: string;
  readonly path: string;
}

/**
 * The files that `hf://datasets/OWNER/NAME@REVISION/FILE` names, fetched into the user's cache folder; FILE may be a glob
 * of * and ?, which stand for text without slashes.
 * @throws UserError `no_network`, `endpoint_asks_to_wait`, `not_found`, `access_denied`, `checksum_differs`, `not_writable`
 */
export async function hubFiles(uri: string, sha256: string | undefined, where: Where): Promise<readonly string[]> {
  const [, owner, dataset, revision, path] = hubUri.exec(uri) ?? [];
  if (owner === undefined || dataset === undefined || revision === undefined || path === undefined) {
    throw new UserError('invalid_uri', `${uri} is not hf://datasets/OWNER/NAME@REVISION/FILE.`);
  }
  const at: HubFile = { uri, owner, dataset, revision, path };
  const files: string[] = [];
  for (const name of isGlob(path) ? await matchingNames(at, where) : [path]) {
    files.push(await fetchFile({ ...at, path: name }, sha256, where));
  }
  return files;
}

/** The list of a revision is kept like its files, so that the same run without a network goes on to work. */
async function matchingNames(at: HubFile, where: Where): Promise<readonly string[]> {
  const kept = join(cacheOf(at, where), '.files.json');
  const known = await readFile(kept, 'utf8').catch(() => undefined);
  const names = known === undefined ? await listFiles(at, where) : (JSON.parse(known) as string[]);
  if (known === undefined) {
    await writingToCache(where.cacheFolder, async () => {
      await mkdir(dirname(kept), { recursive: true });
      const partial = `${kept}.${randomUUID()}.partial`;
      await writeFile(partial, JSON.stringify(names));
      await rename(partial, kept);
    });
  }
  const matched = names.filter((name) => fitsPath(name, at.path)).sort();
  if (matched.length > 0) return matched;
  throw new UserError('not_found', `${at.uri} matches none of the dataset's ${formatCounted(names.length, 'file')}.`, {
    kind: 'environment',
    hint: `It has, for example, ${names.slice(0, 5).join(', ')}.`,
  });
}

/** Folder by folder: no wildcard stands for a slash. */
function fitsPath(path: string, pattern: string): boolean {
  const shapes = pattern.split('/');
  const names = path.split('/');
  return names.length === shapes.length && names.every((name, index) => fitsPattern(name, shapes[index]!));
}

async function listFiles({ uri, owner, dataset, revision }: HubFile, where: Where): Promise<readonly string[]> {
  const names: string[] = [];
  let url: string | undefined = `${endpoint()}/api/datasets/${owner}/${dataset}/tree/${revision}?recursive=true`;
  while (url !== undefined) {
    const page: string = url;
    url = await retried(where, async () => {
      const response = await send(page, uri, where);
      if (!response.ok) throw refused(uri, response);
      const entries = (await response.json().catch((error: Error) => {
        throw brokenOff(uri, error);
      })) as readonly { readonly type: string; readonly path: string }[];
      names.push(...entries.filter(({ type }) => type === 'file').map(({ path }) => path));
      return /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    });
  }
  return names;
}

function endpoint(): string {
  return process.env.HF_ENDPOINT ?? 'https://huggingface.co';
}

function cacheOf({ owner, dataset, revision }: HubFile, { cacheFolder }: Where): string {
  return join(cacheFolder, 'datasets', owner, dataset, revision);
}

function retried<T>({ signal, log }: Where, attempt: () => Promise<T>, progress?: () => number): Promise<T> {
  return retryPassing(attempt, {
    retries,
    signal,
    ...(progress === undefined ? {} : { progress }),
    onFailure({ message }, wait) {
      if (wait !== undefined) log.warning(`${message} Trying again in ${formatDuration(wait / 1000)}.`);
    },
  });
}

/** `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to Hugging Face's own tools. */
async function send(url: string, uri: string, { signal }: Where, headers: Record<string, string> = {}) {
  const token = process.env.HF_TOKEN;
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return fetch(url, { signal, headers: { ...headers, ...authorization } }).catch((error: Error) => {
    throw brokenOff(uri, error);
  });
}

/** Fetches once for all projects. */
async function fetchFile(at: HubFile, sha256: string | undefined, where: Where): Promise<string> {
  const { uri, owner, dataset, revision, path } = at;
  const file = join(cacheOf(at, where), ...path.split('/').filter((part) => part !== '..'));
  const isKept = await stat(file).then(
    () => true,
    () => false,
  );
  if (isKept) return file;
  // Of a name with a backslash or "#" in it, a URL would be another one: of any page that the token opens.
  const name = path.split('/').map(encodeURIComponent).join('/');
  const url = `${endpoint()}/datasets/${owner}/${dataset}/resolve/${revision}/${name}`;
  await writingToCache(where.cacheFolder, () => mkdir(dirname(file), { recursive: true }));
  const partial = `${file}.${randomUUID()}.partial`;
  try {
    await download(url, uri, partial, where);
    if (sha256 !== undefined) await checkSha256(partial, sha256);
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
  return file;
}

/** What an attempt got of a file. */
interface Received {
  /** Counts its bytes. */
  readonly steps: Pace;
  /** Of the version that they are of; undefined where the server names none. */
  readonly etag: string | undefined;
}

/** Goes on, after a failure that may pass, from the bytes that are there, where they still are those of the file. */
async function download(url: string, uri: string, partial: string, where: Where): Promise<void> {
  let received: Received | undefined;
  const attempt = async () => {
    const response = await requestRest(url, uri, received, where);
    if (!response.ok || response.body === null) throw refused(uri, response);
    const earlier = response.status === 206 ? received : undefined;
    const total = lengthOf(response);
    received = earlier ?? { steps: pace(where, { unit: 'bytes', total }), etag: strongEtag(response) };
    const { steps } = received;
    await using handle = await open(partial, earlier === undefined ? 'w' : 'a');
    for await (const bytes of bytesOf(response.body, uri)) {
      await handle.writeFile(bytes);
      await steps.step(undefined, bytes.length);
    }
    await handle.sync();
    await steps.finish();
  };
  await retried(where, attempt, () => received?.steps.done ?? 0);
}

/** The answer with what is not there yet (206), or with the whole file. */
async function requestRest(url: string, uri: string, received: Received | undefined, where: Where): Promise<Response> {
  // Ranges are of the bytes as they are sent: packed ones could not be gone on from.
  const whole = { 'accept-encoding': 'identity' };
  const { steps, etag } = received ?? {};
  if (steps === undefined || etag === undefined || steps.done === 0) {
    where.log.info(`Fetching ${url}`);
    return send(url, uri, where, whole);
  }
  where.log.info(`Fetching ${url}, going on after ${formatBytes(steps.done)}`);
  const range = `bytes=${steps.done}-`;
  const response = await send(url, uri, where, { ...whole, range, 'if-range': etag });
  const start = `bytes ${steps.done}-`;
  const isRest = response.headers.get('etag') === etag && response.headers.get('content-range')?.startsWith(start);
  if (isRest || (response.status !== 206 && response.status !== 416)) return response;
  await response.body?.cancel();
  return send(url, uri, where, whole);
}

/** A weak ETag does not promise the same bytes. */
function strongEtag({ headers }: Response): string | undefined {
  const etag = headers.get('etag');
  return etag === null || etag.startsWith('W/') || headers.has('content-encoding') ? undefined : etag;
}

function lengthOf({ headers }: Response): number | null {
  const length = headers.get('content-length');
  return length === null || headers.has('content-encoding') ? null : Number(length);
}

async function* bytesOf(body: AsyncIterable<Uint8Array>, uri: string): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw brokenOff(uri, error as Error);
  }
}

function brokenOff(uri: string, error: Error): PassingFailure {
  const final = new UserError('no_network', `${uri} could not be fetched: ${causeOf(error)}.`, {
    kind: 'environment',
    hint: 'Check the network, or download the file on another machine and give its path instead.',
    cause: error,
  });
  return new PassingFailure(final, false);
}

function refused(uri: string, { status, headers }: Response): Error {
  if (status === 401 || status === 403) {
    return new UserError('access_denied', `${uri} may not be fetched (HTTP ${status}).`, {
      kind: 'environment',
      hint: 'Accept its terms on Hugging Face and set HF_TOKEN, or check owner and name.',
    });
  }
  if (status === 404) {
    return new UserError('not_found', `${uri} does not exist.`, {
      kind: 'environment',
      hint: 'Check owner, name, revision and file.',
    });
  }
  const error = new UserError('no_network', `${uri} could not be fetched (HTTP ${status}).`, {
    kind: 'environment',
    hint: 'Try again later, or download the file on another machine and give its path instead.',
  });
  const mayPass = status === 429 || status >= 500;
  return mayPass ? new PassingFailure(error, false, retryAfter(headers.get('retry-after'))) : error;
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}
