import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fitsPattern, isGlob, type Log, UserError } from 'simmerkit';
import { checkSha256 } from './check-sha256.js';
import { hubUri } from './options.js';

/** What a stage's context says of where files are. */
export interface Where {
  readonly recipeFolder: string;
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
  readonly log: Log;
}

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
 * @throws UserError `no_network`, `not_found`, `access_denied`, `checksum_differs`
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
    await mkdir(dirname(kept), { recursive: true });
    const partial = `${kept}.${process.pid}.partial`;
    await writeFile(partial, JSON.stringify(names));
    await rename(partial, kept);
  }
  const matched = names.filter((name) => fitsPath(name, at.path)).sort();
  if (matched.length > 0) return matched;
  throw new UserError('not_found', `${at.uri} matches none of the ${names.length} files of the dataset.`, {
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
    const response: Response = await request(url, uri, where);
    const entries = (await response.json()) as readonly { readonly type: string; readonly path: string }[];
    names.push(...entries.filter(({ type }) => type === 'file').map(({ path }) => path));
    url = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return names;
}

function endpoint(): string {
  return process.env.HF_ENDPOINT ?? 'https://huggingface.co';
}

function cacheOf({ owner, dataset, revision }: HubFile, { cacheFolder }: Where): string {
  return join(cacheFolder, 'datasets', owner, dataset, revision);
}

/** `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to Hugging Face's own tools. */
async function request(url: string, uri: string, { signal }: Where): Promise<Response> {
  const token = process.env.HF_TOKEN;
  const response = await fetch(url, {
    signal,
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
  }).catch((error: Error) => {
    signal.throwIfAborted();
    throw new UserError('no_network', `${uri} could not be fetched: ${causeOf(error)}.`, {
      kind: 'environment',
      hint: 'Check the network, or download the file on another machine and give its path instead.',
      cause: error,
    });
  });
  if (!response.ok) throw refused(uri, response.status);
  return response;
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
  const url = `${endpoint()}/datasets/${owner}/${dataset}/resolve/${revision}/${path}`;
  where.log.info(`Fetching ${url}`);
  const response = await request(url, uri, where);
  if (response.body === null) throw refused(uri, response.status);
  await mkdir(dirname(file), { recursive: true });
  const partial = `${file}.${process.pid}.partial`;
  try {
    await using handle = await open(partial, 'w');
    for await (const bytes of response.body) await handle.writeFile(bytes);
    await handle.sync();
    if (sha256 !== undefined) await checkSha256(partial, sha256);
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
  return file;
}

function refused(uri: string, status: number): UserError {
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
  return new UserError('no_network', `${uri} could not be fetched (HTTP ${status}).`, {
    kind: 'environment',
    hint: 'Try again later, or download the file on another machine and give its path instead.',
  });
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}
