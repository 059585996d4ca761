import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { sha256OfFile } from '../files/file-hash.js';
import { isWithin } from '../files/is-within.js';
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
 * imports or requires, and in JavaScript each `new URL('./…', import.meta.url)`. Of a path that is made when it runs, such as
 * `./rules-${name}.js`, all files that it can be.
 *
 * @param file absolute; JavaScript, TypeScript or Python
 * @returns SHA-256, lower-case hex
 */
export async function moduleDigest(file: string): Promise<string> {
  return modulesDigest([file], dirname(file));
}

/** @param start the folder where Python looks for what is imported, by whichever module */
async function modulesDigest(files: readonly string[], start: string): Promise<string> {
  const digests = new Map<string, Buffer>();
  const waiting = [...files];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (digests.has(next)) continue;
    const digest = await fileDigest(next).catch(() => undefined);
    if (digest === undefined) continue;
    digests.set(next, digest);
    if (code.test(next)) waiting.push(...(await filesNamedIn(next, await readFile(next, 'utf8'), start)));
  }
  const hash = createHash('sha256');
  const named = [...digests].map(([path, digest]) => [relative(start, path).split(sep).join('/'), digest] as const);
  for (const [name, digest] of named.sort(([left], [right]) => (left < right ? -1 : 1))) {
    hash.update(`${name}\0`).update(digest);
  }
  return hash.digest('hex');
}

const code = /\.(?:[cm]?[jt]sx?|py)$/;
const called = String.raw`\((?:[^()]|\([^()]*\))*\)`;
const namedInJavaScript = new RegExp(
  String.raw`\b(from|import(?:\.meta\.resolve)?|require(?:\.resolve)?|createRequire${called}|new URL)` +
    String.raw`\s*(?:\(\s*)?(?:/\*.*?\*/\s*)?(['"${'`'}])(\.{1,2}(?:/(?:(?!\2).)*)?)\2`,
  'g',
);
/**
 * Of `import a, b` the names; of `from a.b import c, d` what it is from, and the first of what is taken. What is relative is
 * in a package, and with that.
 */
const importedInPython =
  /(?:^|[;:])[ \t]*(?:from[ \t]+(\w[\w.]*)[ \t]+import\b[ \t]*\(?(?:\s|#.*)*(\w*)|import[ \t]+([\w., \t]+))/gm;
const importedByName = /\b(?:import_module|__import__|run_module)\(\s*['"]([\w.]+)['"]/g;

/** The files that there are of those that a module names. */
async function filesNamedIn(file: string, text: string, start: string): Promise<readonly string[]> {
  const found: string[] = [];
  if (file.endsWith('.py')) {
    for (const name of namesInPython(text)) found.push(...(await filesInPython(start, name)));
  } else {
    for (const [, by, quote, path] of text.matchAll(namedInJavaScript)) {
      if (quote === '`' && path!.includes('${')) {
        found.push(...(await filesOfTemplate(file, path!)));
        continue;
      }
      const named = resolve(dirname(file), path!);
      const inTypeScript = asTypeScript(named);
      const endings = by === 'new URL' ? [] : ['.js', '.cjs', '.mjs', '.json', '.ts'];
      found.push(...(await filesInJavaScript(file, named, endings)));
      if (inTypeScript !== named) found.push(...(await filesInJavaScript(file, inTypeScript, [])));
    }
  }
  return found;
}

/** What TypeScript calls a module that is imported by the name of what becomes of it. */
function asTypeScript(path: string): string {
  return path.replace(/\.([cm]?)js$/, '.$1ts');
}

/** All files that a template with `${…}` may name. In a folder that the module is in, too, only those with its ending. */
async function filesOfTemplate(module: string, template: string): Promise<readonly string[]> {
  const beginning = resolve(dirname(module), `${template.slice(0, template.indexOf('${'))}x`).slice(0, -1);
  const ending = template.slice(template.lastIndexOf('}') + 1);
  const folder = beginning.endsWith(sep) ? beginning : dirname(beginning);
  const isAround = isWithin(module, folder);
  if (isAround && ending === '') return [];
  const inFolder = isAround ? (await readdir(folder)).map((name) => join(folder, name)) : await filesIn(folder);
  return inFolder.filter(
    (path) =>
      path.startsWith(beginning) &&
      (path.endsWith(ending) || path.endsWith(asTypeScript(ending))) &&
      !leftOutFiles.test(path),
  );
}

/** The file of a path, or of a path with an ending, or all files of a folder. Of one that the module is in only the index. */
async function filesInJavaScript(module: string, path: string, endings: readonly string[]): Promise<readonly string[]> {
  for (const candidate of [path, ...endings.map((ending) => `${path}${ending}`)]) {
    if (await isFile(candidate)) return [candidate];
  }
  // Other paths are made from it: it may be the whole project.
  if (isWithin(module, path))
    return endings.length === 0 ? [] : filesInJavaScript(module, join(path, 'index'), endings);
  return filesIn(path);
}

function namesInPython(text: string): readonly string[] {
  const whole = text.replaceAll(/\\\r?\n/g, ' ');
  const imported = [...whole.matchAll(importedInPython)].flatMap(([, origin, taken, names]) =>
    origin === undefined ? names!.split(',') : [`${origin}.${taken}`],
  );
  const named = [...whole.matchAll(importedByName)].map(([, name]) => name!);
  return [...imported, ...named].map((name) => name.trim());
}

/** The package or the module that Python finds in a folder; none for what is installed. @param name with or without dots */
async function filesInPython(folder: string, name: string): Promise<readonly string[]> {
  const [first = '', second = ''] = name.split(/[.\s]/);
  if (first === '') return [];
  const path = join(folder, first);
  if (await isFile(join(path, '__init__.py'))) return filesIn(path);
  if (await isFile(`${path}.py`)) return [`${path}.py`];
  const files = await filesIn(path);
  const modules = files.filter((file) => file.endsWith('.py'));
  // Without that nothing but a module in it can be taken from it, or be run.
  const isPackage = modules.some((file) => isModule(relative(path, file), second));
  // It may be data with a script beside it: `import datasets` is then what is installed.
  return isPackage ? files : modules;
}

/** Whether a file in a package is the module of a name, or in the package of that name, or what is run of the package. */
function isModule(file: string, name: string): boolean {
  return file === '__main__.py' || file === `${name}.py` || file.startsWith(`${name}${sep}`);
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

/** Also where the path is not that of a folder. */
async function filesIn(path: string): Promise<readonly string[]> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() === true ? filesBelow(path, new Set(leftOutFolders)) : [];
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
    // `python3 -m acme.rules`
    const modules = words[index - 1] === '-m' ? await filesInPython(baseFolder, word) : [];
    if (modules.length > 0) hash.update(await modulesDigest(modules, baseFolder));
    // Of `--rules=rules.json` what comes after the "=".
    const named = word.replace(/^--?[\w-]+=/, '');
    if (named === '' || modules.length > 0) continue;
    const path = resolve(baseFolder, named);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isDirectory() === true) hash.update(await folderDigest([path]));
    else if (stats?.isFile() === true) hash.update(await fileOrModuleDigest(path));
  }
  return hash.digest('hex');
}

async function fileOrModuleDigest(path: string): Promise<string | Buffer> {
  return code.test(path) ? moduleDigest(path) : fileDigest(path);
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
