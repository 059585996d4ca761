import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { formatCounted } from '../figures.js';
import { builtInPlugins, pluginPackageFolder, simmerPackage } from './locate.js';

/** Languages that there is a template for. */
const pluginLanguages = ['typescript', 'python'] as const;
export type PluginLanguage = (typeof pluginLanguages)[number];

/** What a new plugin may contribute, and what its template calls that. */
export const pluginKinds = { stage: 'keep-short', grader: 'close-enough', sink: 'stage-times' } as const;
export type PluginKind = keyof typeof pluginKinds;

/** What the templates call themselves: each is a plugin that works, and a new one differs by its name alone. */
const templateName = 'new-plugin';
const pluginName = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

interface ScaffoldOptions {
  readonly name: string;
  readonly language: PluginLanguage;
  readonly kind: PluginKind;
  /** Made where it is missing; must be empty. */
  readonly folder: string;
}

/**
 * Makes a plugin that builds, passes its test and runs at once.
 * @returns the files, relative to the folder
 * @throws UserError `invalid_plugin_name`, `folder_not_empty`
 */
export async function scaffoldPlugin({ name, language, kind, folder }: ScaffoldOptions): Promise<readonly string[]> {
  if (!pluginName.test(name)) {
    throw new UserError('invalid_plugin_name', `${JSON.stringify(name)} is no name for a plugin.`, {
      hint: 'It is lower-case letters and digits with "-" between them, like "short-questions".',
    });
  }
  if (Object.hasOwn(builtInPlugins(), name)) {
    throw new UserError('invalid_plugin_name', `There is a plugin "${name}" in Simmer itself.`, {
      hint: 'Two plugins of one name are never loaded: choose another.',
    });
  }
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) {
    throw new UserError(
      'folder_not_empty',
      `${folder} is there already, with ${formatCounted(there.length, 'file')} in it.`,
      {
        hint: 'Choose another name, or another place with --folder.',
      },
    );
  }
  const written: string[] = [];
  for (const template of templatesOf(language, kind)) {
    for (const entry of await readdir(template, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const source = join(entry.parentPath, entry.name);
      const target = renamed(relative(template, source));
      await put(join(folder, target), filled(await readFile(source, 'utf8'), name, folder));
      written.push(target);
    }
  }
  if (language === 'python') {
    const lock = join(pluginPackageFolder, 'locks', 'plugin.txt');
    await put(join(folder, 'requirements.txt'), await readFile(lock, 'utf8'));
    written.push('requirements.txt');
  }
  return written.sort();
}

/** Folders whose files together make the plugin. */
function templatesOf(language: PluginLanguage, kind: PluginKind): readonly string[] {
  const all = join(simmerPackage.root, 'core', 'cli', 'templates', `plugin-${language}`);
  return [join(all, 'common'), join(all, kind)];
}

async function put(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text, { flag: 'wx' });
}

/** npm leaves files called .gitignore out of packages, so the template's is called otherwise. */
function renamed(path: string): string {
  return path === 'gitignore' ? '.gitignore' : path;
}

function filled(text: string, name: string, folder: string): string {
  return text
    .replaceAll(templateName, name)
    .replaceAll('SIMMER_VERSION', simmerPackage.version)
    .replaceAll('SIMMER_LOCATION', `file:${relative(resolve(folder), simmerPackage.root)}`)
    .replaceAll('SIMMER_PYTHON_PACKAGE', shown(relative(resolve(folder), pluginPackageFolder)));
}

function shown(path: string): string {
  return path.startsWith('.') ? path : `./${path}`;
}
