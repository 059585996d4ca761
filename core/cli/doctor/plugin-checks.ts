import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../../config/settings.js';
import { isUserError } from '../../errors.js';
import type { PluginCatalog } from '../../plugin/catalog.js';
import type { Check } from './check.js';

/** Every built-in plugin loads. */
export async function checkPlugins(catalog: PluginCatalog, names: readonly string[]): Promise<Check> {
  const results = await Promise.allSettled(names.map((name) => catalog.plugin(name)));
  const failed = results.flatMap((result, index) =>
    result.status === 'rejected' ? [`${names[index]}: ${(result.reason as Error).message}`] : [],
  );
  if (failed.length === 0) return { name: 'plugins', status: 'ok', detail: names.join(', ') };
  const first = results.find((result) => result.status === 'rejected');
  const hint = isUserError(first?.reason) ? first.reason.hint : undefined;
  return {
    name: 'plugins',
    status: 'fail',
    detail: failed.join('; '),
    remedy: hint ?? 'Install simmerkit anew; in a clone, run `npm run setup`.',
  };
}

/** The Python environments that were made before; none is no fault, the first run makes them. */
export async function checkEnvironments({ cacheFolder }: Pick<Settings, 'cacheFolder'>): Promise<Check> {
  const folder = join(cacheFolder, 'python');
  const names = await readdir(folder).catch(() => []);
  const ready = names.filter((name) => existsSync(join(folder, name, 'ready.json')));
  return {
    name: 'environments',
    status: 'ok',
    detail: ready.length === 0 ? 'none yet; the first run makes what it needs' : ready.join(', '),
  };
}
