import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readFolder } from '../files/read-folder.js';

/** The word in `keywords` of a package.json that says that the package is a plugin. */
const keyword = 'simmer-plugin';

/** npm names of the plugins that are installed for a folder: those in the nearest `node_modules`. Loads nothing. */
export function installedPlugins(folder: string): readonly string[] {
  for (let here = folder; ; here = dirname(here)) {
    const modules = join(here, 'node_modules');
    const names = namesIn(modules);
    if (names.length > 0) return names.filter((name) => isPlugin(join(modules, name))).sort();
    if (here === dirname(here)) return [];
  }
}

function namesIn(modules: string): readonly string[] {
  const names = readFolder(modules).filter((name) => !name.startsWith('.'));
  return names.flatMap((name) =>
    name.startsWith('@') ? readFolder(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  );
}

function isPlugin(folder: string): boolean {
  try {
    const { keywords } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { keywords?: unknown };
    return Array.isArray(keywords) && keywords.includes(keyword);
  } catch {
    return false;
  }
}
