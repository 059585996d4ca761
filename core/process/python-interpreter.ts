import { UserError } from '../errors.js';
import { runCommand } from './run-command.js';

/** A Python that can be run. */
export interface PythonInterpreter {
  /** As it is to be called. */
  readonly path: string;
  /** "3.11.7" */
  readonly version: string;
  /** What wheels are chosen by, e.g. "cpython-311-linux-x86_64". */
  readonly platform: string;
}

const oldestMinor = 11;
/** The newest one for which all that the locks pin comes built. */
const newestBuiltMinor = 14;
/** In this order: the system's own first, then by name. */
const candidates = ['python3', 'python3.12', 'python3.13', 'python3.11', 'python3.14', 'python'];
const probe = `import json, platform, sys
print(json.dumps({"version": platform.python_version(), "implementation": sys.implementation.cache_tag,
                  "platform": sys.platform + "-" + platform.machine()}))`;
const installHint =
  'Install Python 3.11 or newer (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python), or name one with SIMMER_PYTHON or `python:`.';

/**
 * Finds a Python that is new enough. One that the locks have builds for goes before a newer one, unless that is named.
 * @throws UserError `python_not_found`, `python_too_old`
 */
export async function findPython(signal: AbortSignal): Promise<PythonInterpreter> {
  let tooOld: PythonInterpreter | undefined;
  let newer: PythonInterpreter | undefined;
  const named = process.env.SIMMER_PYTHON ?? '';
  for (const name of named === '' ? candidates : [named, ...candidates]) {
    const found = await probePython(name, signal);
    if (found === undefined) continue;
    if (!isNewEnough(found.version)) tooOld ??= found;
    else if (name !== named && minorOf(found.version) > newestBuiltMinor) newer ??= found;
    else return found;
  }
  if (newer !== undefined) return newer;
  if (tooOld !== undefined) throw pythonTooOld(tooOld);
  throw new UserError('python_not_found', `There is no Python on this machine (looked for ${candidates.join(', ')}).`, {
    kind: 'environment',
    hint: installHint,
  });
}

/**
 * The Python that a user names.
 * @throws UserError `python_not_found`, `python_too_old`
 */
export async function usePython(path: string, signal: AbortSignal): Promise<PythonInterpreter> {
  const found = await probePython(path, signal);
  if (found === undefined) {
    throw new UserError('python_not_found', `${path} is not a Python that can be run.`, {
      kind: 'environment',
      hint: 'Name the interpreter itself, e.g. /path/to/environment/bin/python.',
    });
  }
  if (!isNewEnough(found.version)) throw pythonTooOld(found);
  return found;
}

async function probePython(path: string, signal: AbortSignal): Promise<PythonInterpreter | undefined> {
  try {
    const result = await runCommand([path, '-I', '-c', probe], { signal });
    if (result.exitCode !== 0) return undefined;
    const said = JSON.parse(result.stdout) as { version: string; implementation: string; platform: string };
    return { path, version: said.version, platform: `${said.implementation}-${said.platform}` };
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

function isNewEnough(version: string): boolean {
  return version.startsWith('3.') && minorOf(version) >= oldestMinor;
}

function minorOf(version: string): number {
  return Number(version.split('.')[1]);
}

function pythonTooOld({ path, version }: PythonInterpreter): UserError {
  return new UserError('python_too_old', `${path} is Python ${version}; 3.${oldestMinor} or newer is needed.`, {
    kind: 'environment',
    hint: installHint,
  });
}
