import type { Settings } from '../../config/settings.js';
import { formatBytes } from '../../figures.js';

/** A setting as it holds here. */
export interface SettingFound {
  readonly name: string;
  /** For people; null where there is none. */
  readonly value: string | null;
  /** `default`, a flag, a variable of the environment, or the file. */
  readonly source: string;
}

/** Each setting that a flag, the environment or a file may set, with what did. */
export function settingsFound({ resources, sources, ...settings }: Settings): readonly SettingFound[] {
  const values: Readonly<Record<string, string | undefined>> = {
    home: settings.home,
    cacheFolder: settings.cacheFolder,
    dataFolder: settings.dataFolder,
    python: settings.python,
    'resources.cpus': String(resources.cpus),
    'resources.memoryBytes': formatBytes(resources.memoryBytes),
    'resources.gpus': String(resources.gpus),
  };
  return Object.entries(values).map(([name, value]) => ({
    name: name.replace('memoryBytes', 'memory'),
    value: value ?? null,
    source: sources[name] ?? 'default',
  }));
}
