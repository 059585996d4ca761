import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StageEvent } from 'simmerkit';

/** Raised when this program itself writes something else. */
const layoutVersion = 1;
const digestFile = 'stubs.digest';

/** Which protos a Python package has stubs of, importable as `PACKAGE.generated.simmer.AREA.v1.FILE_pb2`. */
interface Target {
  readonly pythonFolder: string;
  readonly packageName: string;
  /** What they import among each other must be in it. */
  readonly areas: readonly string[];
}

const targets: readonly Target[] = [
  { pythonFolder: 'plugins/torch-trainer/python', packageName: 'simmer_trainer', areas: ['trainer'] },
  { pythonFolder: 'plugins/eval/python', packageName: 'simmer_grader', areas: ['grader'] },
  { pythonFolder: 'proto/clients/python', packageName: 'simmer_client', areas: ['control'] },
  {
    pythonFolder: 'proto/clients/python-plugin',
    packageName: 'simmer_plugin',
    areas: ['plugin', 'trainer', 'grader'],
  },
];

/** The build's step from proto/ to Python, after `tsc`: `node dist/plugins/torch-trainer/generate-stubs.js`. */
const root = packageRoot(dirname(fileURLToPath(import.meta.url)));
const lockFile = join(root, 'plugins/torch-trainer/stubs.lock.txt');
const digest = await digestOfInputs();
const outdated = [];
for (const target of targets) {
  const generated = join(root, target.pythonFolder, target.packageName, 'generated');
  const made = await readFile(join(generated, digestFile), 'utf8').catch(() => '');
  if (made !== digest) outdated.push({ ...target, generated });
}
if (outdated.length > 0) await generate(outdated);

async function generate(stale: readonly (Target & { readonly generated: string })[]): Promise<void> {
  // Not loaded where there is nothing to do.
  const { defaultCacheFolder, preparePythonEnvironment, runCommand } = await import('simmerkit');
  const { signal } = new AbortController();
  const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);
  await mkdir(cacheFolder, { recursive: true });
  const say = (message: string) => void process.stderr.write(`${message}\n`);
  const { python, env } = await preparePythonEnvironment({
    name: 'stubs',
    lockFile,
    cacheFolder,
    packageFolders: [],
    context: {
      log: { debug: () => {}, info: say, warning: say, error: say },
      signal,
      cacheFolder,
      recipeFolder: root,
      emit: async (_event: StageEvent) => {},
    },
  });
  const include = await runCommand(
    [python, '-c', 'import grpc_tools, pathlib; print(pathlib.Path(grpc_tools.__file__).parent / "_proto")'],
    { signal, env },
  );
  for (const { packageName, areas, generated } of stale) {
    // Beside the compiled code: on the same file system, and never part of a package.
    const draft = join(root, 'dist', `stubs-${randomUUID().slice(0, 8)}`);
    await mkdir(draft, { recursive: true });
    try {
      const sources = join(draft, 'proto');
      const files = await copyProtos(areas, sources, `${packageName}/generated`);
      const result = await runCommand(
        [
          ...[python, '-m', 'grpc_tools.protoc', `-I${sources}`, `-I${include.stdout.trim()}`],
          ...['python', 'grpc_python', 'pyi'].map((kind) => `--${kind}_out=${draft}`),
          ...files,
        ],
        { signal, env },
      );
      if (result.exitCode !== 0) throw new Error(`grpc_tools.protoc failed:\n${result.lastLines.join('\n')}`);
      const made = join(draft, packageName, 'generated');
      await makePackages(made);
      await writeFile(join(made, digestFile), digest);
      await mkdir(dirname(generated), { recursive: true });
      await rm(generated, { recursive: true, force: true });
      await rename(made, generated);
      say(`Generated the Python stubs of ${packageName}.`);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
}

/**
 * Copies protos to a path that is the package's own, so that the imports in what is generated are, too.
 * @returns their names, relative to the folder
 */
async function copyProtos(areas: readonly string[], folder: string, place: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const source of await protosOf(areas)) {
    const name = join(place, relative(join(root, 'proto'), source));
    const text = await readFile(source, 'utf8');
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text.replaceAll('import "simmer/', `import "${place}/simmer/`));
    names.push(name);
  }
  return names;
}

async function protosOf(areas: readonly string[]): Promise<readonly string[]> {
  const folders = areas.map((area) => join(root, 'proto/simmer', area, 'v1'));
  const files = folders.map(async (folder) => (await readdir(folder)).sort().map((name) => join(folder, name)));
  return (await Promise.all(files)).flat();
}

/** Makes a folder and all below it packages. */
async function makePackages(folder: string): Promise<void> {
  await writeFile(join(folder, '__init__.py'), '');
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await makePackages(join(folder, entry.name));
  }
}

async function digestOfInputs(): Promise<string> {
  const hash = createHash('sha256').update(String(layoutVersion));
  const protos = await protosOf([...new Set(targets.flatMap(({ areas }) => areas))]);
  for (const file of [lockFile, ...protos]) hash.update(await readFile(file)).update('\u0000');
  return hash.digest('hex');
}

/** The folder of simmerkit's package.json. */
function packageRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) throw new Error(`there is no package.json above ${from}`);
  }
}
