import { join } from 'node:path';
import { hasNvidiaGpu, installedVersions, projectRequirements, readLock, usePython } from 'simmerkit';
import { pluginFile } from './plugin-files.js';

/** Distributions that weights, tokens or texts depend on. */
const relevant = ['torch', 'transformers', 'trl', 'peft', 'bitsandbytes', 'accelerate', 'tokenizers', 'gguf'] as const;

/** The folder with the package `simmer_trainer`. */
export function trainerPackageFolder(): string {
  return pluginFile('python');
}

/** The lock for this machine. */
export function trainerLockFile(): string {
  return join(trainerPackageFolder(), 'locks', hasNvidiaGpu() ? 'cuda.txt' : 'cpu.txt');
}

/** What a Python of the user's must have. */
export function trainerRequirements(): Promise<readonly string[]> {
  return projectRequirements(join(trainerPackageFolder(), 'pyproject.toml'));
}

/** Versions that results depend on: from the lock, or from the metadata of the user's own Python. */
export async function relevantTorchVersions(python: string | undefined): Promise<Readonly<Record<string, string>>> {
  const versions = python === undefined ? (await readLock(trainerLockFile())).pins : await versionsOf(python);
  const known = relevant.flatMap((name) => {
    // "2.13.0+cpu" and "2.13.0" are the same release, built for other machines.
    const version = versions[name]?.split('+')[0];
    return version === undefined ? [] : [[name, version] as const];
  });
  return Object.fromEntries(known);
}

async function versionsOf(python: string): Promise<Readonly<Record<string, string>>> {
  const { signal } = new AbortController();
  return installedVersions((await usePython(python, signal)).path, signal);
}
