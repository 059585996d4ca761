import { existsSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { Path } from '../recipe/path.js';
import { isMapValue, type ProblemList } from '../recipe/problem-list.js';

/** What recipes may name that come from somebody else. */
export interface RecipeRules {
  /** What relative paths are relative to. */
  readonly folder: string;
  /** Folders whose files may be named. */
  readonly roots: readonly string[];
  /** npm names of the plugins that may be listed. */
  readonly plugins: readonly string[];
}

/**
 * Refuses the plugins and files that a recipe of a client may not name. No schema tells for certain which text is a path,
 * so every text of the recipe that could be one is looked at: absolute, from a home folder, upwards, or there.
 */
export function guardRecipe(tree: unknown, rules: RecipeRules, problems: ProblemList): void {
  const roots = rules.roots.map(realPath);
  const look = (value: unknown, path: Path): void => {
    if (typeof value === 'string') {
      if (leadsOut(value, rules.folder, roots)) {
        problems.add(
          'path_not_allowed',
          `${JSON.stringify(value)} is outside the folders that this server allows.`,
          path,
          {
            hint: `Name a file below ${rules.roots.join(' or ')}; the server's owner allows others with --allow-root.`,
          },
        );
      }
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) look(item, [...path, index]);
    } else if (isMapValue(value) && Object.getPrototypeOf(value) === Object.prototype) {
      for (const [key, child] of Object.entries(value))
        if (path.length > 0 || key !== 'plugins') look(child, [...path, key]);
    }
  };
  look(tree, []);
  const listed = isMapValue(tree) && Array.isArray(tree.plugins) ? tree.plugins : [];
  for (const [index, plugin] of listed.entries()) {
    if (typeof plugin === 'string' && rules.plugins.includes(plugin)) continue;
    const allowed = rules.plugins.length === 0 ? 'none' : rules.plugins.join(', ');
    problems.add('plugin_not_allowed', `This server runs no plugin ${JSON.stringify(plugin)}.`, ['plugins', index], {
      hint: `Besides the built-in ones it allows ${allowed}; its owner allows others with --allow-plugin.`,
    });
  }
}

function leadsOut(text: string, folder: string, roots: readonly string[]): boolean {
  if (text === '' || text.includes('\0')) return text !== '';
  if (/^file:/i.test(text)) return true;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return false;
  if (/^~[^\s/]*(\/|$)/.test(text)) return true;
  const path = resolve(folder, text);
  // Prose is no path, unless there is such a file, or a folder to put it in.
  if (/\s/.test(text) && !existsSync(path) && (dirname(path) === '/' || !existsSync(dirname(path)))) return false;
  const isPath = isAbsolute(text) || text.split('/').includes('..') || existsSync(path);
  if (!isPath) return false;
  const real = realPath(path);
  return ![realPath(folder), ...roots].some((root) => isWithin(root, real));
}

/** With all links followed, of as much of the path as is there. */
function realPath(path: string): string {
  const rest: string[] = [];
  for (let here = resolve(path); ; here = dirname(here)) {
    try {
      return join(realpathSync(here), ...rest);
    } catch {
      if (here === dirname(here)) return resolve(path);
      rest.unshift(relative(dirname(here), here));
    }
  }
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path);
  return way === '' || (way !== '..' && !way.startsWith('../') && !isAbsolute(way));
}
