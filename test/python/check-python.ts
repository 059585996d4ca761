import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultCacheFolder, type PythonEnvironment, preparePythonEnvironment } from 'simmerkit';

/** The checkout, also for what is built. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/dist\/$/, '');

/** Where a user has Python environments and models. */
export const cacheFolder: string = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);

export const say = (message: string) => void process.stderr.write(`${message}\n`);

/** The Python environment of a lock, made where it is not there. */
export async function checkPython(
  name: string,
  lockFile: string,
  packageFolders: readonly string[] = [],
): Promise<PythonEnvironment> {
  await mkdir(cacheFolder, { recursive: true });
  return preparePythonEnvironment({
    name,
    lockFile,
    cacheFolder,
    packageFolders,
    context: {
      log: { debug: () => {}, info: say, warning: say, error: say },
      signal: new AbortController().signal,
      cacheFolder,
      recipeFolder: root,
      emit: async () => {},
    },
  });
}

/**
 * Packages that only a check needs, in a folder of their own: what they depend on and the environment has
 * too is not fetched again.
 * @param lockFile every package that the environment lacks, pinned
 * @param python of the environment
 * @returns the folder, to be put after the environment's own packages
 */
export async function checkPackages(lockFile: string, python: string): Promise<string> {
  const lock = await readFile(lockFile, 'utf8');
  const name = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const folder = join(root, 'node_modules/.cache/simmer-checks', name);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  say(`Fetching the packages of ${lockFile}.`);
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', draft, '-r', lockFile];
  const { status } = spawnSync(python, pip, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`pip cannot install ${lockFile}.`);
  await rename(draft, folder);
  return folder;
}

/** Starts Python without a network; its stdout is to be read. */
export function startPython({ python, env }: PythonEnvironment, args: readonly string[]) {
  return spawn(python, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env, HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' },
  });
}

/** Runs Python, whose output people see. @returns the last line that it wrote to stdout, and its exit code */
export async function runPython(
  environment: PythonEnvironment,
  args: readonly string[],
): Promise<{ readonly lastLine: string; readonly code: number | null }> {
  const child = startPython(environment, args);
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  let lastLine = '';
  let rest = '';
  for await (const chunk of child.stdout.setEncoding('utf8') as AsyncIterable<string>) {
    process.stdout.write(chunk);
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    lastLine = lines.findLast((line) => line.trim() !== '') ?? lastLine;
  }
  return { lastLine: rest.trim() === '' ? lastLine : rest, code: await ended };
}
