import { access, constants, stat, statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import { dirname } from 'node:path';
import { StoreHome } from '../../artifacts/store-home.js';
import type { Settings } from '../../config/settings.js';
import { isUserError, toErrorRecord } from '../../errors.js';
import { formatBytes } from '../../figures.js';
import { systemError } from '../../files/system-error.js';
import { findPython, usePython } from '../../process/python-interpreter.js';
import { runCommand } from '../../process/run-command.js';
import type { Check } from './check.js';

/** Longest that a program that is asked for its version may take. */
const askMilliseconds = 10_000;

/** What the quickstart needs at its peak, and what its environment, model and artifacts take on disk. */
const quickstartMemoryBytes = 6e9;
const environmentBytes = 4e9;
const artifactBytes = 2e9;

export function checkNode(version = process.versions.node): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  // As `engines` in package.json: from these on, a CommonJS program can `require` what is an ES module, as Simmer is.
  const fits = major === 20 ? minor >= 19 : major > 22 || (major === 22 && minor >= 12);
  return {
    name: 'Node',
    status: fits ? 'ok' : 'fail',
    detail: version,
    ...(fits ? {} : { remedy: 'Install Node 20.19, or 22.12 or later: https://nodejs.org' }),
  };
}

/** Its native part is a package of its own for each platform, and optional to npm. */
export async function checkDuckdb(
  load: () => Promise<{ version(): string }> = () => import('../../artifacts/duckdb.js'),
): Promise<Check> {
  try {
    return { name: 'DuckDB', status: 'ok', detail: (await load()).version() };
  } catch (thrown) {
    const { message, hint } = toErrorRecord(systemError(thrown));
    return { name: 'DuckDB', status: 'fail', detail: message, ...(hint === undefined ? {} : { remedy: hint }) };
  }
}

/** The Python that environments are made with, or the user's own. */
export async function checkPython({ python: own }: Pick<Settings, 'python'>): Promise<Check> {
  const signal = AbortSignal.timeout(askMilliseconds);
  try {
    const { path, version } = own === undefined ? await findPython(signal) : await usePython(own, signal);
    const detail = own === undefined ? `${version} (${path})` : `${version} (${path}), used as it is`;
    if (own !== undefined || (await canMakeEnvironments(path, signal))) return { name: 'Python', status: 'ok', detail };
    return {
      name: 'Python',
      status: 'fail',
      detail: `${detail} cannot make environments: venv or ensurepip is missing`,
      remedy:
        'Install its venv module (Debian, Ubuntu: apt install python3-venv), or name your own Python with --python.',
    };
  } catch (error) {
    const { message } = error as Error;
    return {
      name: 'Python',
      status: 'fail',
      detail: signal.aborted ? `no answer within ${askMilliseconds / 1000} s` : message,
      remedy: (isUserError(error) ? error.hint : undefined) ?? 'Name a Python that works with --python.',
    };
  }
}

async function canMakeEnvironments(python: string, signal: AbortSignal): Promise<boolean> {
  const argv = [python, '-I', '-c', 'import ensurepip, venv'];
  return (await runCommand(argv, { signal })).exitCode === 0;
}

export function checkCores({ resources }: Pick<Settings, 'resources'>): Check {
  const few = resources.cpus < 2;
  return {
    name: 'cores',
    status: few ? 'warn' : 'ok',
    detail: String(resources.cpus),
    ...(few ? { remedy: 'The quickstart wants two: it will take about twice its time.' } : {}),
  };
}

export function checkMemory({ resources }: Pick<Settings, 'resources'>, free = freemem()): Check {
  const isShort = resources.memoryBytes < quickstartMemoryBytes;
  return {
    name: 'memory',
    status: isShort ? 'warn' : 'ok',
    detail: `${formatBytes(resources.memoryBytes)}, ${formatBytes(free)} of it free`,
    ...(isShort
      ? { remedy: `The quickstart takes up to ${formatBytes(quickstartMemoryBytes)}; try recipes/tiny.yaml.` }
      : {}),
  };
}

/** NVIDIA GPUs by their driver's own tool. No GPU is no fault: recipes say what they need. */
export async function checkGpus({ resources }: Pick<Settings, 'resources'>): Promise<Check> {
  const devices = await nvidiaDevices();
  if (devices.length > 0) return { name: 'GPUs', status: 'ok', detail: devices.join('; ') };
  if (resources.gpus > 0) {
    return {
      name: 'GPUs',
      status: 'warn',
      detail: `${resources.gpus} found, but nvidia-smi says nothing of them`,
      remedy: 'Check the driver, or set CUDA_VISIBLE_DEVICES= to go without.',
    };
  }
  const appleSilicon = process.platform === 'darwin' && process.arch === 'arm64';
  return { name: 'GPUs', status: 'ok', detail: appleSilicon ? 'Apple silicon' : 'none; recipes for CPUs run' };
}

/** None where there is no driver, or one that does not answer. */
async function nvidiaDevices(): Promise<readonly string[]> {
  const argv = ['nvidia-smi', '--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'];
  try {
    const { exitCode, stdout } = await runCommand(argv, { signal: AbortSignal.timeout(askMilliseconds) });
    return exitCode === 0 ? stdout.split('\n').filter((line) => line.trim() !== '') : [];
  } catch {
    return [];
  }
}

/** The folder can be made and written to, and has room. */
export async function checkFolder(
  name: string,
  folder: string,
  needs: { readonly bytes: number; readonly setBy: string },
): Promise<Check> {
  try {
    const existing = await nearestFolder(folder);
    await access(existing, constants.W_OK);
    const { bavail, bsize } = await statfs(existing);
    const free = bavail * bsize;
    const detail = `${folder}, ${formatBytes(free)} free`;
    if (free >= needs.bytes) return { name, status: 'ok', detail };
    return {
      name,
      status: free < needs.bytes / 10 ? 'fail' : 'warn',
      detail,
      remedy: `The quickstart takes about ${formatBytes(needs.bytes)} there: free some space or set another place with ${needs.setBy}.`,
    };
  } catch (error) {
    return {
      name,
      status: 'fail',
      detail: `${folder} cannot be written to: ${(error as Error).message}`,
      remedy: `Set another place with ${needs.setBy}.`,
    };
  }
}

/** Also whether this Simmer reads it: every other command says where it does not. */
export async function checkHome({ home }: Pick<Settings, 'home'>): Promise<Check> {
  const setBy = '--home or SIMMER_HOME';
  const check = await checkFolder('home', home, { bytes: artifactBytes, setBy });
  try {
    await new StoreHome(home).check();
    return check;
  } catch (error) {
    if (check.status === 'fail') return check;
    const remedy = isUserError(error) ? error.hint : undefined;
    const detail = (error as Error).message;
    return { name: 'home', status: 'fail', detail, remedy: remedy ?? `Set another place with ${setBy}.` };
  }
}

export function checkCacheFolder({ cacheFolder }: Pick<Settings, 'cacheFolder'>): Promise<Check> {
  return checkFolder('cache folder', cacheFolder, { bytes: environmentBytes, setBy: 'SIMMER_CACHE' });
}

/** The folder itself, or the nearest one above it: that is where it would be made. */
async function nearestFolder(folder: string): Promise<string> {
  for (let candidate = folder; ; candidate = dirname(candidate)) {
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isDirectory()) return candidate;
    if (found !== undefined) throw new Error(`${candidate} is not a folder`);
    if (candidate === dirname(candidate)) throw new Error('there is no such place');
  }
}
