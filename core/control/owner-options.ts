import { stat } from 'node:fs/promises';
import { isUserError, UserError } from '../errors.js';
import { locatePlugin } from '../plugin/locate.js';

/**
 * What the owner gave with the server's start, where a mistake would only be seen when a client is refused.
 * @throws UserError `folder_missing`, `wrong_option_name`
 */
export async function checkOwnerOptions({
  allowedRoots = [],
  recipeFolders = [],
  allowedOptions = [],
}: {
  readonly allowedRoots?: readonly string[];
  readonly recipeFolders?: readonly string[];
  readonly allowedOptions?: readonly string[];
}): Promise<void> {
  for (const folder of allowedRoots) await refuseMissing('--allow-root', folder);
  for (const folder of recipeFolders) await refuseMissing('--recipes', folder);
  const wrong = allowedOptions.find((option) => !/^[^/]+(\/[^/]+)*\/[\w-]+(\.[\w-]+)+$/.test(option));
  if (wrong === undefined) return;
  throw new UserError('wrong_option_name', `--allow-option ${wrong}: that is no option of a plugin.`, {
    hint: 'It reads PLUGIN/NAME.OPTION, for example torch-trainer/torch.python.',
  });
}

async function refuseMissing(flag: string, folder: string): Promise<void> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) return;
  throw new UserError('folder_missing', `${flag} ${folder}: there is no such folder, or it cannot be read.`, {
    kind: 'environment',
    hint: 'Make it, or leave it out.',
  });
}

/** What there is to say of allowed plugins that cannot be found. They may be installed while the server runs. */
export function missingPlugins(plugins: readonly string[], folder: string): readonly string[] {
  return plugins.flatMap((plugin) => {
    try {
      locatePlugin(plugin, folder);
      return [];
    } catch (error) {
      if (!isUserError(error)) throw error;
      return [`--allow-plugin ${plugin}: ${error.message} ${error.hint}`];
    }
  });
}
