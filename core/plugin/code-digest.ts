import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { sha256OfFile } from '../files/file-hash.js';
import { unlessMissing } from '../files/unless-missing.js';

/** What says nothing of what a plugin does: tests, maps, types, caches, and stubs that a build makes from the proto. */
const leftOutFolders = new Set(['node_modules', '__pycache__', 'generated', 'tests', 'test']);
const leftOutFiles = /(\.test\.[a-z]+|\.d\.[a-z]+|\.map|\.tsbuildinfo|\.md)$/;

/**
 * Digest of a plugin's code, part of the key of each of its stages: what the files are called inside their folder and
 * what is in them, never where the folder is.
 *
 * @param folders absolute; taken with all that is in them, apart from tests, maps, types and dot files. One that is not
 *   there counts as empty.
 * @returns SHA-256, lower-case hex
 */
export async function folderDigest(folders: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const [index, folder] of folders.entries()) {
    for (const file of (await filesBelow(folder)).sort()) {
      const name = relative(folder, file).split(sep).join('/');
      hash.update(`${index}/${name}\0`).update(
        createHash('sha256')
          .update(await readFile(file))
          .digest(),
      );
    }
  }
  return hash.digest('hex');
}

/**
 * Digest of a plugin that is one file: of it and of the files that it imports by relative paths, and they in turn.
 *
 * @param file absolute
 * @returns SHA-256, lower-case hex
 */
export async function moduleDigest(file: string): Promise<string> {
  const contents = new Map<string, string>();
  const waiting = [file];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (contents.has(next)) continue;
    const text = await readFile(next, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    contents.set(next, text);
    for (const [, specifier] of text.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g)) {
      waiting.push(resolve(dirname(next), specifier!));
    }
  }
  const hash = createHash('sha256');
  const named = [...contents].map(
    ([path, text]) => [relative(dirname(file), path).split(sep).join('/'), text] as const,
  );
  for (const [name, text] of named.sort(([left], [right]) => (left < right ? -1 : 1))) {
    hash.update(`${name}\0`).update(createHash('sha256').update(text).digest());
  }
  return hash.digest('hex');
}

/**
 * Digest of a plugin that is a command: of its words, and of the files and folders that words with a "/" name. A program
 * by its absolute path is the system's, not the plugin's: it counts by its name alone.
 *
 * @param baseFolder absolute; what the paths are relative to
 * @returns SHA-256, lower-case hex
 */
export async function commandDigest(words: readonly string[], baseFolder: string): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(words));
  for (const [index, word] of words.entries()) {
    if (!word.includes('/') || (index === 0 && isAbsolute(word))) continue;
    const path = resolve(baseFolder, word);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isDirectory() === true) hash.update(await folderDigest([path]));
    else if (stats?.isFile() === true) hash.update(await fileOrModuleDigest(path));
  }
  return hash.digest('hex');
}

async function fileOrModuleDigest(path: string): Promise<string | Buffer> {
  if (/\.[cm]?js$/.test(path)) return moduleDigest(path);
  return Buffer.from(await sha256OfFile(path), 'hex');
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(unlessMissing)) ?? [];
  const found: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !leftOutFolders.has(entry.name)) found.push(...(await filesBelow(path)));
    else if (entry.isFile() && !leftOutFiles.test(entry.name)) found.push(path);
  }
  return found;
}
