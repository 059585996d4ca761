import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { sha256OfFile } from '../files/file-hash.js';
import { unlessMissing } from '../files/unless-missing.js';

/** What says nothing of what a plugin does: tests, maps, types and caches. What it installs is told by its lock file. */
const leftOutFolders = ['node_modules', '__pycache__', 'tests', 'test'];
const leftOutFiles = /(\.test\.[a-z]+|\.d\.[a-z]+|\.map|\.tsbuildinfo|\.md)$/;

/**
 * Digest of a plugin's code, part of the key of each of its stages: what the files are called inside their folder and
 * what is in them, never where the folder is.
 *
 * @param folders absolute; taken with all that is in them and that links in them lead to, apart from tests, maps, types and
 *   dot files. One that is not there counts as empty.
 * @param besides names of folders in them that say nothing either
 * @returns SHA-256, lower-case hex
 */
export async function folderDigest(folders: readonly string[], besides: readonly string[] = []): Promise<string> {
  const hash = createHash('sha256');
  const leftOut = new Set([...leftOutFolders, ...besides]);
  for (const [index, folder] of folders.entries()) {
    for (const file of (await filesBelow(folder, leftOut)).sort()) {
      const name = relative(folder, file).split(sep).join('/');
      hash.update(`${index}/${name}\0`).update(await fileDigest(file));
    }
  }
  return hash.digest('hex');
}

async function fileDigest(file: string): Promise<Buffer> {
  return Buffer.from(await sha256OfFile(file), 'hex');
}

/**
 * Digest of a plugin that is one file: of it and of the files that it names by relative paths, and they in turn: what it
 * imports or requires, and in JavaScript each `new URL('./…', import.meta.url)`.
 *
 * @param file absolute; JavaScript, TypeScript or Python
 * @returns SHA-256, lower-case hex
 */
export async function moduleDigest(file: string): Promise<string> {
  const contents = new Map<string, Buffer>();
  const waiting = [file];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (contents.has(next)) continue;
    const content = await readFile(next).catch(() => undefined);
    if (content === undefined) continue;
    contents.set(next, content);
    waiting.push(...(await filesNamedIn(next, content.toString())));
  }
  const hash = createHash('sha256');
  const named = [...contents].map(
    ([path, content]) => [relative(dirname(file), path).split(sep).join('/'), content] as const,
  );
  for (const [name, content] of named.sort(([left], [right]) => (left < right ? -1 : 1))) {
    hash.update(`${name}\0`).update(createHash('sha256').update(content).digest());
  }
  return hash.digest('hex');
}

const code = /\.(?:[cm]?[jt]sx?|py)$/;
const namedInJavaScript = /\b(?:from|import|require|new URL)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;
/** Of `from . import a, b` and `import a, b` the names; of `from a.b import c` what it is from. */
const importedInPython = /^[ \t]*(?:from[ \t]+\.+[ \t]+import[ \t]+\(?|import[ \t]+|from[ \t]+\.*(?=\w))([\w., \t]+)/gm;

/** The files that there are of those that a module names. */
async function filesNamedIn(file: string, text: string): Promise<readonly string[]> {
  if (!code.test(file)) return [];
  const folder = dirname(file);
  const found: string[] = [];
  if (file.endsWith('.py')) {
    for (const [, names] of text.matchAll(importedInPython)) {
      for (const name of names!.split(',')) {
        // What has no such file or folder beside the module is a package that is installed.
        const [first = ''] = name.trim().split(/[.\s]/);
        if (first !== '') found.push(...(await filesOf(join(folder, first), ['.py'])));
      }
    }
  } else {
    for (const [, path] of text.matchAll(namedInJavaScript)) {
      const named = resolve(folder, path!);
      const inTypeScript = named.replace(/\.([cm]?)js$/, '.$1ts');
      found.push(...(await filesOf(named, ['.js', '.cjs', '.mjs', '.json', '.ts'])));
      if (inTypeScript !== named) found.push(...(await filesOf(inTypeScript, [])));
    }
  }
  return found;
}

/** The file of a path, or of a path with an ending, or all files of a folder. */
async function filesOf(path: string, endings: readonly string[]): Promise<readonly string[]> {
  for (const candidate of [path, ...endings.map((ending) => `${path}${ending}`)]) {
    const stats = await stat(candidate).catch(() => undefined);
    if (stats?.isFile() === true) return [candidate];
    if (stats?.isDirectory() === true) return filesBelow(candidate, new Set(leftOutFolders));
  }
  return [];
}

/**
 * Digest of a plugin that is a command: of its words, and of the files and folders that they name. A program by its
 * absolute path, or without a "/", is the system's, not the plugin's: it counts by its name alone.
 *
 * @param baseFolder absolute; what the paths are relative to
 * @returns SHA-256, lower-case hex
 */
export async function commandDigest(words: readonly string[], baseFolder: string): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(words));
  for (const [index, word] of words.entries()) {
    if (index === 0 && (isAbsolute(word) || !word.includes('/'))) continue;
    // Of `--rules=rules.json` what comes after the "=".
    const path = resolve(baseFolder, word.replace(/^--?[\w-]+=/, ''));
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isDirectory() === true) hash.update(await folderDigest([path]));
    else if (stats?.isFile() === true) hash.update(await fileOrModuleDigest(path));
  }
  return hash.digest('hex');
}

async function fileOrModuleDigest(path: string): Promise<string | Buffer> {
  if (code.test(path)) return moduleDigest(path);
  return fileDigest(path);
}

/** @param around the folders that it was reached by, as their real paths: a link to one of them, or around it, is not followed */
async function filesBelow(
  folder: string,
  leftOut: ReadonlySet<string>,
  around: readonly string[] = [],
): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(unlessMissing);
  if (entries === undefined) return [];
  const outside = [...around, await realpath(folder)];
  const found: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    const kind = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (kind?.isDirectory() === true && !leftOut.has(entry.name)) {
      const real = await realpath(path);
      if (!outside.some((each) => isWithin(each, real))) {
        found.push(...(await filesBelow(path, leftOut, outside)));
      }
    } else if (kind?.isFile() === true && !leftOutFiles.test(entry.name)) found.push(path);
  }
  return found;
}

function isWithin(path: string, folder: string): boolean {
  return relative(folder, path).split(sep)[0] !== '..';
}
