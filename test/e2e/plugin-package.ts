import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { defaultCacheFolder, preparePythonEnvironment } from 'simmerkit';
import { root } from '../python/check-python.js';

const execute = promisify(execFile);

/** How packages get into `node_modules`. */
type Installing =
  /** As people do: `npm install`, with a registry. */
  | 'npm'
  /** The tarballs are unpacked, and what they depend on is linked from this checkout: seconds, and no registry. */
  | 'unpack';

interface Listing {
  readonly name: string;
  readonly source: string;
  readonly stages: Readonly<Record<string, unknown>>;
}

/** A folder with nothing in it but what npm put there: simmerkit, from its own tarball. */
export class InstalledSimmer implements AsyncDisposable {
  readonly folder: string;
  readonly #base: string;
  readonly #installing: Installing;

  private constructor(base: string, installing: Installing) {
    this.#base = base;
    this.folder = join(base, 'empty');
    this.#installing = installing;
  }

  static async create(installing: Installing): Promise<InstalledSimmer> {
    const installed = new InstalledSimmer(await mkdtemp(join(tmpdir(), 'simmer-package-')), installing);
    await mkdir(join(installed.folder, 'node_modules'), { recursive: true });
    await writeFile(join(installed.folder, 'package.json'), '{"private": true}');
    // Tests run from what is built: building it again under them would pull it away.
    const options = installing === 'unpack' ? ['--ignore-scripts'] : [];
    await installed.install('simmerkit', await pack(root, installed.#base, options));
    return installed;
  }

  /** Runs the installed command line to its end. @throws where it exits with another code than 0 */
  async simmer(args: readonly string[], cwd = this.folder): Promise<string> {
    const program = join(this.folder, 'node_modules/simmerkit/dist/core/cli/main.js');
    return run(process.execPath, [program, ...args], cwd);
  }

  /** Makes a plugin in a folder of its own, as its author does; it has what it needs to build. */
  async author(
    name: string,
    language: 'typescript' | 'python',
    kind: 'stage' | 'grader' | 'sink' = 'stage',
  ): Promise<string> {
    const folder = join(this.#base, name);
    await this.simmer(['plugin', 'new', name, '--language', language, '--kind', kind], this.#base);
    if (language === 'python') return folder;
    if (this.#installing === 'npm') {
      await run('npm', ['install', '--no-audit', '--no-fund'], folder);
    } else {
      const modules = join(folder, 'node_modules');
      await mkdir(join(modules, '@types'), { recursive: true });
      await mkdir(join(modules, '.bin'));
      await symlink(join(this.folder, 'node_modules/simmerkit'), join(modules, 'simmerkit'));
      await symlink(join(root, 'node_modules/@types/node'), join(modules, '@types/node'));
      await symlink(join(root, 'node_modules/.bin/tsc'), join(modules, '.bin/tsc'));
    }
    return folder;
  }

  /** Runs the tests of a plugin in Python as its README says, in an environment as Simmer's own. @returns what they print */
  async pythonTests(folder: string): Promise<string> {
    const quiet = { debug() {}, info() {}, warning() {}, error() {} };
    const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);
    const { signal } = new AbortController();
    const { python, env } = await preparePythonEnvironment({
      name: 'plugin',
      lockFile: join(folder, 'requirements.txt'),
      cacheFolder,
      packageFolders: [folder, join(this.folder, 'node_modules/simmerkit/proto/clients/python-plugin')],
      context: { log: quiet, signal, cacheFolder, recipeFolder: folder, emit: async () => {} },
    });
    const { stderr } = await execute(python, ['-m', 'unittest'], { cwd: folder, env: { ...process.env, ...env } });
    return stderr;
  }

  /** Whether pip makes a wheel of a client where npm put it, and leaves that folder as it is: it may be another user's. */
  async pipBuilds(client: string): Promise<boolean> {
    const folder = join(this.folder, 'node_modules/simmerkit/proto/clients', client);
    const files = async () => (await readdir(folder, { recursive: true })).toSorted();
    const before = await files();
    const wheels = join(this.#base, 'wheels', client);
    await run('python3', ['-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', wheels, folder], this.#base);
    return (await readdir(wheels)).length === 1 && isDeepStrictEqual(await files(), before);
  }

  /** Packs a plugin and installs it beside simmerkit. @returns the files of its package */
  async packAndInstall(name: string, folder: string): Promise<readonly string[]> {
    await this.install(name, await pack(folder, this.#base));
    const files = await readdir(join(this.folder, 'node_modules', name), { recursive: true, withFileTypes: true });
    return files.filter((file) => file.isFile()).map((file) => file.name);
  }

  async install(name: string, tarball: string): Promise<void> {
    if (this.#installing === 'npm') {
      await run('npm', ['install', '--no-audit', '--no-fund', tarball], this.folder);
      return;
    }
    const place = join(this.folder, 'node_modules', name);
    await mkdir(place);
    await run('tar', ['-xzf', tarball, '-C', place, '--strip-components=1'], this.#base);
    if (name === 'simmerkit') await symlink(join(root, 'node_modules'), join(place, 'node_modules'));
  }

  /** The stages of one plugin, as `simmer plugins` lists them. */
  async stagesOf(name: string): Promise<readonly string[]> {
    const listing = JSON.parse(await this.simmer(['plugins', '--json'])) as readonly Listing[];
    return Object.keys(listing.find((plugin) => plugin.name === name && plugin.source === name)?.stages ?? {});
  }

  /** What editors complete after `uses:` in a stage. */
  async stagesInSchema(): Promise<readonly string[]> {
    const schema = JSON.parse(await this.simmer(['schema', '--json']));
    const { oneOf } = schema.properties.stages.additionalProperties.properties.uses as {
      readonly oneOf: readonly { readonly const: string }[];
    };
    return oneOf.map((choice) => choice.const);
  }

  /** Runs a recipe that uses a plugin's stage. @returns the last event of the run */
  async runRecipe(name: string): Promise<{ readonly type: string; readonly data: { readonly outputs: object } }> {
    const recipe = `name: trial
plugins: [${name}]
stages:
  problems: { uses: curation/generate-problems, with: { count: 50 } }
  short: { uses: ${name}/keep-short, with: { dataset: "\${{ stages.problems.dataset }}", words: 30 } }
`;
    await writeFile(join(this.folder, `${name}.yaml`), recipe);
    const events = (await this.simmer(['run', `${name}.yaml`, '--json'])).trim().split('\n');
    return JSON.parse(events.at(-1) ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#base, { recursive: true, force: true });
  }
}

/** @returns the tarball */
async function pack(folder: string, destination: string, options: readonly string[] = []): Promise<string> {
  const printed = await run('npm', ['pack', '--pack-destination', destination, ...options], folder);
  // What the package's own scripts print comes before. `--json` prints another shape from npm 12 on.
  const filename = printed.trim().split('\n').at(-1) ?? '';
  return join(destination, filename);
}

/** @returns stdout @throws with all that it printed */
export async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    return (await execute(program, [...args], { cwd, maxBuffer: 2 ** 26 })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout ?? ''}\n${stderr ?? ''}`, { cause: error });
  }
}
