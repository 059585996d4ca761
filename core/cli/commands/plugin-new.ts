import { relative, resolve } from 'node:path';
import { exitCodes } from '../../errors.js';
import { type PluginKind, type PluginLanguage, pluginKinds, scaffoldPlugin } from '../../plugin/scaffold.js';
import { withCall } from '../simmer-call.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';

interface PluginNewFlags {
  readonly language: PluginLanguage;
  readonly kind: PluginKind;
  readonly folder?: string;
  readonly json?: boolean;
}

const next = {
  typescript: ['npm install', 'npm test', 'npx simmer run recipe.yaml'],
  python: ['simmer plugin verify .', 'simmer run recipe.yaml'],
} as const;

/** `simmer plugin new`: a plugin that works, to go on from. */
export async function pluginNew(name: string, flags: PluginNewFlags): Promise<number> {
  const { language, kind } = flags;
  const folder = resolve(flags.folder ?? name);
  const files = await scaffoldPlugin({ name, language, kind, folder });
  if (flags.json) {
    await writeJson({ name, language, kind, folder, files });
    return exitCodes.ok;
  }
  const colors = colorsFor(process.stdout);
  const place = relative(process.cwd(), folder) || '.';
  const commands = [...(place === '.' ? [] : [`cd ${place}`]), ...next[language]];
  await writeLine(
    [
      `${colors.green('✔')} ${place} has a plugin with the ${kind} ${colors.bold(`${name}/${pluginKinds[kind]}`)}:`,
      ...files.map((file) => colors.dim(`  ${file}`)),
      'Next:',
      ...commands.map((command) => `  ${withCall(command)}`),
    ].join('\n'),
  );
  return exitCodes.ok;
}
