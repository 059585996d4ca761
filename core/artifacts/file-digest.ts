import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { type HashOptions, hashFile } from '../files/file-hash.js';
import { isMissing } from '../files/unless-missing.js';
import { inOrder } from '../in-order.js';
import type { ArtifactFile } from './artifact.js';

/** Files that are digested together: of large ones fewer, where there are fewer cores. */
const mostTogether = 8;

/** Size and SHA-256 of a file. @param path what the entry is to say */
export async function digestFile(file: string, path: string, options: HashOptions = {}): Promise<ArtifactFile> {
  return { path, ...(await hashFile(file, options)) };
}

/** Of several files of a folder. @param paths what the entries are to say, in their order */
export async function digestFiles(
  folder: string,
  paths: readonly string[],
  options?: HashOptions,
): Promise<readonly ArtifactFile[]> {
  const files: ArtifactFile[] = [];
  const work = paths.map((path) => () => digestFile(join(folder, path), path, options));
  for await (const file of inOrder(work, mostTogether)) files.push(file);
  return files;
}

/**
 * Every file of a folder and of those in it, by path with forward slashes, sorted.
 * @param links whether symbolic links are followed to their files, as a Hugging Face cache needs it
 * @throws UserError `not_plain_files`, `not_a_folder`
 */
export async function listFiles(folder: string, links: 'follow' | 'refuse'): Promise<readonly string[]> {
  const found: string[] = [];
  await walk(folder, '', links, found);
  return found.sort();
}

async function walk(root: string, inside: string, links: 'follow' | 'refuse', found: string[]): Promise<void> {
  for (const entry of await entriesOf(join(root, inside))) {
    const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
    const kind = entry.isSymbolicLink() && links === 'follow' ? await stat(join(root, path)) : entry;
    if (kind.isDirectory()) await walk(root, path, links, found);
    else if (kind.isFile()) found.push(path);
    else {
      throw new UserError('not_plain_files', `${join(root, path)} is neither a file nor a folder.`, {
        hint: 'A model folder holds plain files only.',
      });
    }
  }
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new UserError('not_a_folder', `${folder} is not a folder.`, { cause: error });
  }
}
