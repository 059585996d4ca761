import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { writingToCache } from '../config/cache-folder.js';
import { UserError } from '../errors.js';
import { formatCounted } from '../figures.js';
import { writeFileDurably } from '../files/durable-files.js';
import type { PrepareContext } from '../plugin/definitions.js';
import { noDiskSpace } from './no-disk-space.js';
import { installWithPip } from './pip.js';
import { findPython, type PythonInterpreter, usePython } from './python-interpreter.js';
import { installedVersions, type PythonLock, readLock, unmetRequirements } from './python-requirements.js';
import { runCommand } from './run-command.js';
import { waitForLock } from './wait-for-lock.js';

export interface PythonEnvironmentOptions {
  /** For messages and the folder's name. */
  readonly name: string;
  /** What pip installs, every version pinned. */
  readonly lockFile: string;
  /** The user's own Python, used as it is; wins over the one of the settings. */
  readonly python?: string;
  /** What a user's own Python must have, e.g. "torch>=2.11". @default the names in the lock */
  readonly requirements?: readonly string[];
  readonly cacheFolder: string;
  /** Folders of Python packages of ours; put on PYTHONPATH. */
  readonly packageFolders: readonly string[];
  readonly context: PrepareContext;
}

/** A Python with all that is needed, and the variables to start it with. */
export interface PythonEnvironment {
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
}

/** `ready.json`: written last, so an environment without it is none. */
interface ReadyRecord {
  readonly format: 1;
  /** Name of the folder beside this file. */
  readonly folder: string;
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * Makes the Python environment that a lock describes, once for all projects of the user, or checks the user's own.
 * Says what it will download before it does. Safe for several processes at once: each builds in a folder of its own,
 * and one waits for the other. An environment that is there already takes milliseconds.
 *
 * @throws UserError `python_not_found`, `python_too_old`, `python_incomplete`, `venv_missing`, `pip_failed`,
 * `no_disk_space`, `not_writable`
 */
export async function preparePythonEnvironment(options: PythonEnvironmentOptions): Promise<PythonEnvironment> {
  const { context } = options;
  const started = performance.now();
  const lock = await readLock(options.lockFile);
  const own = options.python ?? context.python;
  const made = own === undefined ? await findOrMake(options, lock) : await checkOwn(own, options, lock);
  await context.emit({
    type: 'environment.prepared',
    data: {
      name: options.name,
      path: made.path,
      reused: made.reused,
      seconds: (performance.now() - started) / 1000,
      versions: made.versions,
    },
  });
  const inherited = own === undefined ? [] : [process.env.PYTHONPATH ?? ''];
  return {
    python: made.python,
    env: {
      PYTHONPATH: [...options.packageFolders, ...inherited].filter((folder) => folder !== '').join(delimiter),
      // Packages are installed compiled; what is compiled of ours would land in the folder of the npm package.
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONUTF8: '1',
      ...(own === undefined ? { PYTHONNOUSERSITE: '1' } : {}),
    },
  };
}

interface Prepared {
  readonly python: string;
  readonly path: string;
  readonly reused: boolean;
  readonly versions: Readonly<Record<string, string>>;
}

async function checkOwn(own: string, options: PythonEnvironmentOptions, lock: PythonLock): Promise<Prepared> {
  const { signal } = options.context;
  const interpreter = await usePython(own, signal);
  const installed = await installedVersions(interpreter.path, signal);
  const requirements = options.requirements ?? Object.keys(lock.pins);
  const unmet = unmetRequirements(requirements, installed);
  if (unmet.length > 0) {
    throw new UserError('python_incomplete', `${own} lacks what ${options.name} needs: ${unmet.join(', ')}.`, {
      kind: 'environment',
      hint: `Install it there (${own} -m pip install -r ${lock.file}), or leave "python" out: Simmer then makes an environment of its own.`,
    });
  }
  const versions = pick(installed, Object.keys(lock.pins));
  return { python: interpreter.path, path: own, reused: true, versions: { python: interpreter.version, ...versions } };
}

async function findOrMake(options: PythonEnvironmentOptions, lock: PythonLock): Promise<Prepared> {
  const { name, cacheFolder, context } = options;
  const interpreter = await findPython(context.signal);
  const id = `${name}-${digestOf(lock, interpreter)}`;
  const folder = join(cacheFolder, 'python', id);
  const found = await readReady(folder);
  if (found !== undefined) return { ...found, reused: true };
  await writingToCache(cacheFolder, () => mkdir(folder, { recursive: true }));
  await using _ = await writingToCache(cacheFolder, () =>
    waitForLock(join(cacheFolder, 'locks', id), {
      signal: context.signal,
      onWait: (why) => context.log.info(`Waiting for the Python environment ${name}: ${why}`),
    }),
  );
  const madeMeanwhile = await readReady(folder);
  if (madeMeanwhile !== undefined) return { ...madeMeanwhile, reused: true };
  return { ...(await make(folder, interpreter, lock, options)), reused: false };
}

async function make(
  folder: string,
  interpreter: PythonInterpreter,
  lock: PythonLock,
  options: PythonEnvironmentOptions,
): Promise<Omit<Prepared, 'reused'>> {
  const { name, context } = options;
  await removeLeftovers(folder);
  const environment = `env-${randomUUID().slice(0, 8)}`;
  const path = join(folder, environment);
  await announce(name, lock, path, context);
  try {
    await makeVenv(interpreter, path, context.signal);
    const python = pythonIn(path);
    if (Object.keys(lock.pins).length > 0) await installWithPip({ python, lock, name, context });
    const installed = await installedVersions(python, context.signal);
    const versions = { python: interpreter.version, ...pick(installed, Object.keys(lock.pins)) };
    const record: ReadyRecord = { format: 1, folder: environment, versions };
    await writeFileDurably(join(folder, 'ready.json'), JSON.stringify(record));
    return { python, path, versions };
  } catch (error) {
    // Again, where a process that was killed finishes its last write meanwhile.
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
    throw isNoSpace(error) ? noDiskSpace(path, error) : error;
  }
}

/** In words, and as progress: making the folder alone may take half a minute, before pip says anything. */
async function announce(name: string, lock: PythonLock, path: string, context: PrepareContext): Promise<void> {
  const pins = Object.entries(lock.pins);
  if (pins.length === 0) return;
  const known = ['torch', 'transformers', 'trl', 'math-verify', 'grpcio'];
  const first = known.filter((item) => item in lock.pins).map((item) => `${item} ${lock.pins[item]}`);
  const examples = first.length === 0 ? '' : ` (${first.join(', ')}${first.length < pins.length ? ', …' : ''})`;
  const count = formatCounted(pins.length, 'package');
  // How much comes first: a terminal cuts the line behind some fifty columns.
  const much = lock.download ?? 'packages';
  context.log.info(`Downloading ${much}, once, for the Python environment ${name}: ${count}${examples}, into ${path}.`);
  await context.emit({ type: 'stage.progressed', data: { done: 0, total: pins.length, unit: 'packages' } });
}

async function makeVenv(interpreter: PythonInterpreter, path: string, signal: AbortSignal): Promise<void> {
  const result = await runCommand([interpreter.path, '-m', 'venv', path], { signal });
  if (result.exitCode === 0) return;
  const said = result.lastLines.join('\n');
  if (/No space left|Errno 28/.test(said)) throw noDiskSpace(path, new Error(said));
  throw new UserError('venv_missing', `${interpreter.path} -m venv could not make an environment:\n${said}`, {
    kind: 'environment',
    hint: 'On Debian and Ubuntu: apt install python3-venv. Or name a Python that has all packages with `python:`.',
  });
}

/** What builders left that were killed. Only called with the lock, and where nothing is ready. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith('env-')) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function readReady(folder: string): Promise<Omit<Prepared, 'reused'> | undefined> {
  try {
    const record = JSON.parse(await readFile(join(folder, 'ready.json'), 'utf8')) as ReadyRecord;
    if (record.format !== 1) return undefined;
    const path = join(folder, record.folder);
    const python = pythonIn(path);
    // A link: it leads nowhere where the Python that it was made from is gone.
    await access(python);
    return { python, path, versions: record.versions };
  } catch {
    return undefined;
  }
}

function pythonIn(environment: string): string {
  return join(environment, 'bin', 'python');
}

/** What an environment is told apart by: wheels are chosen by Python's minor version and the machine. */
function digestOf(lock: PythonLock, { version, platform }: PythonInterpreter): string {
  const minor = version.split('.').slice(0, 2).join('.');
  return createHash('sha256').update([lock.text, minor, platform].join('\u0000')).digest('hex').slice(0, 16);
}

function pick(versions: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(versions).filter(([name]) => names.includes(name)));
}

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOSPC';
}
