import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file or folder of this plugin that is not compiled; the compiled code is in another folder. */
export function pluginFile(name: string): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, name);
  return existsSync(beside) ? beside : resolve(here, '../../../plugins/torch-trainer', name);
}
