import { resolve } from 'node:path';
import { checkedGlob } from './checked-glob.js';

/** Whether a path has what globs are made of. A file may have it in its name, too: look for the file first. */
export function isGlob(path: string): boolean {
  return /[*?[\]{}]/.test(path);
}

/**
 * The files that a glob matches, absolute, in the order of their paths whatever the file system: `*` and `?` within a
 * name, `**` over folders, `[a-c]`, `{train,test}`. Hidden files are matched only by name.
 *
 * @param folder what a relative glob is relative to
 * @throws UserError `invalid_glob`
 */
export async function matchingFiles(glob: string, folder: string): Promise<readonly string[]> {
  const { glob: find } = await import('tinyglobby');
  const files = await find(checkedGlob(glob), {
    cwd: resolve(folder),
    absolute: true,
    onlyFiles: true,
    expandDirectories: false,
  });
  return files.sort((one, other) => (one < other ? -1 : 1));
}
