import { type DataDocument, parseDocument } from '../document/document.js';
import { userFolder } from './user-folder.js';

/** Names under which settings are looked for, first to last. Data only: there is none that is code. */
const settingsFileNames = [
  'simmer.config.yaml',
  'simmer.config.yml',
  'simmer.config.json',
  '.simmerrc',
  '.simmerrc.yaml',
  '.simmerrc.yml',
  '.simmerrc.json',
] as const;

/**
 * The settings file for a folder: there, or in a folder above it up to the project's root (the first with a package.json).
 *
 * @throws UserError `invalid_settings` for a file that cannot be read; `user_folder_unknown`
 */
export async function findSettingsFile(folder: string): Promise<DataDocument | undefined> {
  const load = (file: string, text: string): DataDocument => parseDocument(file, text, 'settings');
  // What cosmiconfig loads asks for it, too, and fails without a word of what to do.
  userFolder(process.env);
  const { Explorer } = await import('cosmiconfig/dist/Explorer.js');
  // `cosmiconfig()` itself would first run `.config/config.js` of the working folder to configure itself, with whatever
  // loaders it is given. Its Explorer has only these loaders, and none for code.
  const explorer = new Explorer({
    moduleName: 'simmer',
    searchPlaces: [...settingsFileNames],
    ignoreEmptySearchPlaces: true,
    cache: false,
    transform: (found) => found,
    loaders: { '.yaml': load, '.yml': load, '.json': load, noExt: load },
    metaConfigFilePath: null,
    mergeImportArrays: true,
    mergeSearchPlaces: false,
    searchStrategy: 'project',
  });
  const found = await explorer.search(folder);
  return found === null ? undefined : (found.config as DataDocument);
}
