import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fitsPattern, isGlob, matchingFiles, UserError } from 'simmerkit';
import { checkSha256 } from './check-sha256.js';
import { dataError, fileError } from './data-error.js';
import { hubFiles, type Where } from './hub-files.js';
import type { Source } from './load-options.js';
import type { SourceFiles } from './load-tasks.js';

/**
 * The files of a source, on this machine, in the order of their names; fetched where they are elsewhere.
 * @throws UserError `file_missing`, `no_network`, `endpoint_asks_to_wait`, `not_found`, `access_denied`
 */
export function sourceFiles(source: Source, where: Where): Promise<readonly string[]> {
  return source.path.startsWith('hf://')
    ? hubFiles(source.path, source.sha256, where)
    : localFiles(source, where.recipeFolder);
}

/** Once it is known which file is to be read: one that takes its place must not go by its name. @throws UserError `checksum_differs` */
export async function checkSources(sources: readonly SourceFiles[]): Promise<void> {
  for (const { name, source, files } of sources) {
    if (source.sha256 === undefined) continue;
    const [file, ...more] = files;
    if (file === undefined || more.length > 0) {
      throw new UserError('checksum_of_many', `Source ${name} has ${files.length} files and one \`sha256\`.`, {
        hint: 'Make a source of each file, or leave `sha256` out.',
      });
    }
    await checkSha256(file, source.sha256);
  }
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
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory() && fitsPattern(entry.name, pattern))
    .map((entry) => entry.name);
  if (files.length > 0) return files.sort().map((name) => join(path, name));
  throw dataError(
    'file_missing',
    { file: path },
    `no file in this folder is called ${pattern}.`,
    'Correct `files` of the source.',
  );
}
