import { existsSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { isMapValue } from '../document/describe-value.js';
import { formatPath, type Path, valueAt } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import { isUrl } from '../files/is-url.js';
import { isWithin } from '../files/is-within.js';
import { isGlob } from '../files/matching-files.js';
import type { IsForeign, MarkedOption, RecipeGuard } from '../recipe/guard.js';
import { type AllowedSecret, isOwnVariable, isSecretAllowed, listedSecrets } from './allowed-secrets.js';

/** What recipes may name that come from somebody else. */
export interface RecipeRules {
  /** What relative paths are relative to. */
  readonly folder: string;
  /** Folders whose files may be named. */
  readonly roots: readonly string[];
  /** npm names of the plugins that may be listed. */
  readonly plugins: readonly string[];
  /** Options that have the machine run or load what they say, and may be given: "launchers/torchrun.hosts". */
  readonly options: readonly string[];
  readonly secrets: readonly AllowedSecret[];
}

/** Holds recipes to the rules. @param trustsFile the recipe's file is the owner's; what clients give beside it is not */
export function recipeGuard(rules: RecipeRules, { trustsFile }: { readonly trustsFile: boolean }): RecipeGuard {
  const places = [rules.folder, ...rules.roots].map((place) => realPath(resolve(place)));
  return {
    trustsFile,
    aboutFiles: `The server looks below ${rules.folder}, in its own files: have its owner put the file there, or allow the folder that it is in with --allow-root and name its whole path.`,
    checkTree(tree, isForeign, problems) {
      checkPaths(tree, { rules, places, isForeign, problems });
      checkPlugins(tree, { rules, isForeign, problems });
      if (trustsFile && isForeign(['plugins'])) refuseOtherPlugins(problems);
    },
    allowsOption: (option, isForeign, problems) =>
      allowsCode(option, { rules, isForeign, problems }) &&
      allowsSecret(option, { rules, isForeign, problems }) &&
      allowsFile(option, { rules, places, isForeign, problems }),
  };
}

interface Check {
  readonly rules: RecipeRules;
  readonly isForeign: IsForeign;
  readonly problems: ProblemList;
}

/**
 * No schema tells for certain which text is a path, so every text of the recipe that could be one is looked at: absolute,
 * from a home folder, upwards, or there.
 */
function checkPaths(
  tree: unknown,
  { rules, places, isForeign, problems }: Check & { places: readonly string[] },
): void {
  const look = (value: unknown, path: Path): void => {
    if (typeof value === 'string') {
      if (isForeign(path) && leadsOut(value, rules.folder, places)) refusePath(value, path, { rules, problems });
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) look(item, [...path, index]);
    } else if (isMapValue(value) && Object.getPrototypeOf(value) === Object.prototype) {
      for (const [key, child] of Object.entries(value))
        if (path.length > 0 || key !== 'plugins') look(child, [...path, key]);
    }
  };
  look(tree, []);
}

/** An option that is known to name a file or a folder is no prose: whatever leads out of the folders is refused. */
function allowsFile(
  { marks, value, inner, around }: MarkedOption,
  { rules, places, isForeign, problems }: Check & { readonly places: readonly string[] },
): boolean {
  const path = [...around, ...inner];
  if (!(marks.file || marks.folder) || typeof value !== 'string' || !isForeign(path) || isUrl(value)) return true;
  const literal = resolve(rules.folder, value);
  const isPattern = !marks.folder && isGlob(value) && !existsSync(literal);
  // Two dots are a range or a part of a name only between letters and digits.
  const isUpward = /(?<![A-Za-z0-9])\.\.|\.\.(?![A-Za-z0-9])/.test(value);
  // What a pattern may match lies below the folders that it names before its first sign.
  const base = isPattern ? resolve(rules.folder, dirname(`${value.slice(0, value.search(/[*?[\]{}]/))}x`)) : literal;
  const real = realPath(base);
  if (!(isPattern && isUpward) && places.some((place) => isWithin(real, place))) return true;
  refusePath(value, path, { rules, problems });
  return false;
}

function refusePath(text: string, path: Path, { rules, problems }: Pick<Check, 'rules' | 'problems'>): void {
  const message = `${JSON.stringify(text)} is outside the folders that this server allows.`;
  problems.add('path_not_allowed', message, path, {
    hint: `Name a file below ${rules.roots.join(' or ')}; the server's owner allows others with --allow-root.`,
  });
}

/** Its hooks may hold runs to what the owner wants of them. */
function refuseOtherPlugins(problems: ProblemList): void {
  problems.add('plugin_not_allowed', "Which plugins a recipe of the server lists is its owner's to say.", ['plugins'], {
    hint: 'Leave `plugins` as it is, or send a recipe of your own.',
  });
}

function checkPlugins(tree: unknown, { rules, isForeign, problems }: Check): void {
  const listed = isMapValue(tree) && Array.isArray(tree.plugins) ? tree.plugins : [];
  for (const [index, plugin] of listed.entries()) {
    const path = ['plugins', index];
    if (!isForeign(path)) continue;
    const { name, secrets } = namedPlugin(plugin);
    if (name === undefined || !rules.plugins.includes(name)) {
      const allowed = rules.plugins.length === 0 ? 'none' : rules.plugins.join(', ');
      const others = `Besides the built-in ones it allows ${allowed}; its owner allows others with --allow-plugin.`;
      const isPath = name !== undefined && (name.startsWith('.') || isAbsolute(name));
      problems.add('plugin_not_allowed', `This server runs no plugin ${JSON.stringify(plugin)}.`, path, {
        hint: isPath ? `Plugins of a server are listed by their npm names. ${others}` : others,
      });
      continue;
    }
    for (const [place, secret] of secrets.entries()) {
      if (isSecretAllowed(rules.secrets, String(secret), undefined)) continue;
      refuseSecret(String(secret), undefined, [...path, 'secrets', place], { rules, problems });
    }
  }
}

/** A plugin by its name, or with secrets beside it; whatever else is said of one is its owner's to say. */
function namedPlugin(listed: unknown): { readonly name?: string; readonly secrets: readonly unknown[] } {
  if (typeof listed === 'string') return { name: listed, secrets: [] };
  if (!isMapValue(listed)) return { secrets: [] };
  const { plugin, secrets = [], ...others } = listed;
  const isPlain = typeof plugin === 'string' && Array.isArray(secrets) && Object.keys(others).length === 0;
  return isPlain ? { name: plugin, secrets } : { secrets: [] };
}

function allowsCode({ uses, marks, isGiven, inner, around }: MarkedOption, { rules, isForeign, problems }: Check) {
  const path = [...around, ...inner];
  if (!marks.runsCode || !isGiven || !isForeign(path)) return true;
  const name = `${uses}.${inner.filter((part) => typeof part === 'string').join('.')}`;
  if (rules.options.includes(name)) return true;
  const message = `${formatPath(path)} has the server run or load what it says, which a client's recipe may not.`;
  problems.add('option_not_allowed', message, path, {
    hint: `Leave it out. The server's owner allows it with --allow-option ${name}, or has a recipe with it that clients run by its name (--recipes).`,
  });
  return false;
}

function allowsSecret(option: MarkedOption, { rules, isForeign, problems }: Check): boolean {
  const { marks, value, inner, around, options } = option;
  if (marks.secret === undefined || value === undefined) return true;
  const path = [...around, ...inner];
  const beside = inner.slice(0, -1);
  const isTold = marks.secret !== '';
  // Where it is not told what decides where a secret goes, any of the options may.
  const decides = isTold ? [...around, ...beside, marks.secret] : around;
  if (!isForeign(path) && !isForeign(decides)) return true;
  const sentTo = isTold ? valueAt(options, [...beside, marks.secret]) : undefined;
  const url = typeof sentTo === 'string' ? sentTo : undefined;
  if (isSecretAllowed(rules.secrets, String(value), url)) return true;
  refuseSecret(String(value), url, path, { rules, problems });
  return false;
}

function refuseSecret(
  name: string,
  url: string | undefined,
  path: Path,
  check: Pick<Check, 'rules' | 'problems'>,
): void {
  const { rules, problems } = check;
  const where = url === undefined ? 'anywhere' : `to ${url}`;
  const message = `${formatPath(path)}: a client's recipe may not send the server's environment variable ${name} ${where}.`;
  const remedy = isOwnVariable(name)
    ? 'SIMMER_ variables are for the server alone.'
    : `Its owner allows it with --allow-secret ${name}${url === undefined ? '' : `=${url}`}.`;
  problems.add('secret_not_allowed', message, path, {
    hint: `The server allows ${listedSecrets(rules.secrets)}. ${remedy}`,
  });
}

/** @param places folders, with all links followed, whose files may be named */
function leadsOut(text: string, folder: string, places: readonly string[]): boolean {
  if (text === '' || text.includes('\0')) return text !== '';
  if (/^file:/i.test(text)) return true;
  if (isUrl(text)) return false;
  if (/^~[^\s/]*(\/|$)/.test(text)) return true;
  const path = resolve(folder, text);
  if (isProse(text, path)) return false;
  const real = realPath(path);
  return !places.some((place) => isWithin(real, place));
}

/**
 * Prose may begin with a "/". Only the root folder is looked at, and only for a name with white space: whether a folder is
 * there is not for a client to learn.
 */
function isProse(text: string, path: string): boolean {
  const [, first = ''] = path.split('/', 2);
  return isAbsolute(text) && /\s/.test(first) && !existsSync(`/${first}`);
}

/** With all links followed, of as much of the path as is there; from its root on, so that what is not there costs nothing. */
function realPath(path: string): string {
  const parts = path.split('/').slice(1);
  let real = '/';
  for (const [index, part] of parts.entries()) {
    try {
      real = realpathSync.native(join(real, part));
    } catch {
      return join(real, parts.slice(index).join('/'));
    }
  }
  return real;
}
