import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { simmerPackage } from '../../core/plugin/locate.js';

/** The compiled form of a module, for tests that start a process of its own. @param source from the repository's root */
export function builtModule(source: string): string {
  const { root } = simmerPackage;
  const built = join(root, 'dist', source.replace(/\.ts$/, '.js'));
  if (!existsSync(built) || statSync(built).mtimeMs < statSync(join(root, source)).mtimeMs) {
    throw new Error(`${source} is not built: run "npm run build" first.`);
  }
  return built;
}
