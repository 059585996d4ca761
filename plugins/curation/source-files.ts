import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isGlob, type Log, matchingFiles, UserError } from 'simmerkit';
import { dataError, fileError } from './data-error.js';
import { hubUri, type Source } from './options.js';

export interface Where {
  readonly recipeFolder: string;
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * The files of a source, on this machine, in the order of their names; fetched where they are elsewhere.
 * @throws UserError `file_missing`, `checksum_differs`, `no_network`, `not_found`, `access_denied`
 */
export async function sourceFiles(name: string, source: Source, where: Where): Promise<readonly string[]> {
  const files = source.path.startsWith('hf://')
    ? [await fetchFromHub(source.path, source.sha256, where)]
    : await localFiles(source, where.recipeFolder);
  if (source.sha256 !== undefined) {
    const [file, ...more] = files;
    if (file === undefined || more.length > 0) {
      throw new UserError('checksum_of_many', `Source ${name} has ${files.length} files and one \`sha256\`.`, {
        hint: 'Make a source of each file, or leave `sha256` out.',
      });
    }
    await checkSha256(file, source.sha256);
  }
  return files;
}

async function localFiles(source: Source, recipeFolder: string): Promise<readonly string[]> {
  const pattern = source.files;
  const path = resolve(recipeFolder, source.path);
  const stats = await stat(path).catch(async (error: NodeJS.ErrnoException) => {
    // What exists is meant as it is written, also with brackets in its name.
    const matched = isGlob(source.path) ? await matchingFiles(source.path, recipeFolder) : [];
    if (matched.length > 0) return matched;
    throw fileError(path, error);
  });
  if (!('isDirectory' in stats)) return stats;
  if (!stats.isDirectory()) return [path];
  const names = new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  );
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory() && names.test(entry.name)).map((entry) => entry.name);
  if (files.length > 0) return files.sort().map((name) => join(path, name));
  throw dataError(
    'file_missing',
    { file: path },
    `no file in this folder is called ${pattern}.`,
    'Correct `files` of the source.',
  );
}

async function checkSha256(file: string, expected: string): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash).catch((error: NodeJS.ErrnoException) => {
    throw fileError(file, error);
  });
  const found = hash.digest('hex');
  if (found === expected) return;
  throw dataError(
    'checksum_differs',
    { file },
    `its SHA-256 is ${found}, expected ${expected}.`,
    'It is another version, or was not downloaded completely: get it again, or correct `sha256`.',
  );
}

/** Fetches once for all projects. `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to Hugging Face's own tools. */
async function fetchFromHub(uri: string, sha256: string | undefined, where: Where): Promise<string> {
  const [, owner, dataset, revision, path] = hubUri.exec(uri) ?? [];
  if (owner === undefined || dataset === undefined || revision === undefined || path === undefined) {
    throw new UserError('invalid_uri', `${uri} is not hf://datasets/OWNER/NAME@REVISION/FILE.`);
  }
  const file = join(
    where.cacheFolder,
    'datasets',
    owner,
    dataset,
    revision,
    ...path.split('/').filter((part) => part !== '..'),
  );
  if (
    await stat(file).then(
      () => true,
      () => false,
    )
  )
    return file;
  const endpoint = process.env.HF_ENDPOINT ?? 'https://huggingface.co';
  const url = `${endpoint}/datasets/${owner}/${dataset}/resolve/${revision}/${path}`;
  where.log.info(`Fetching ${url}`);
  const token = process.env.HF_TOKEN;
  const response = await fetch(url, {
    signal: where.signal,
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
  }).catch((error: Error) => {
    where.signal.throwIfAborted();
    throw new UserError('no_network', `${uri} could not be fetched: ${causeOf(error)}.`, {
      kind: 'environment',
      hint: 'Check the network, or download the file on another machine and give its path instead.',
      cause: error,
    });
  });
  if (!response.ok || response.body === null) throw refused(uri, response.status);
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
