import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheFolder, preparePythonEnvironment } from '../../core/index.js';
import { ControlHarness } from './control-harness.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = join(root, 'docs/examples/clients');
const recipe = join(examples, 'recipe.yaml');
const token = 'a-token-that-is-long-enough';

let harness: ControlHarness;
beforeAll(async () => {
  harness = await ControlHarness.start({ address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, token });
});
afterAll(() => harness[Symbol.asyncDispose]());

const environment = () => ({ ...process.env, SIMMER_SERVER: harness.server.address, SIMMER_SERVER_TOKEN: token });

describe('the Python client', () => {
  let python: { readonly python: string; readonly env: Readonly<Record<string, string>> };
  beforeAll(async () => {
    const folder = join(root, 'proto/clients/python');
    const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);
    mkdirSync(cacheFolder, { recursive: true });
    const say = () => undefined;
    python = await preparePythonEnvironment({
      name: 'client',
      lockFile: join(folder, 'locks/client.txt'),
      cacheFolder,
      packageFolders: [folder],
      context: {
        log: { debug: say, info: say, warning: say, error: say },
        signal: new AbortController().signal,
        cacheFolder,
        recipeFolder: root,
        emit: async () => undefined,
      },
    });
  }, 300_000);
  const example = (name: string, ...args: string[]) =>
    run(python.python, [join(examples, name), ...args], { env: { ...environment(), ...python.env } });

  it('runs a recipe to its end and fetches what it made', async () => {
    const lines = (await example('run_recipe.py', recipe)).stdout.trim().split('\n');
    expect(lines[0]).toBe('1 run.created ');
    expect(lines).toContainEqual(expect.stringMatching(/^\d+ stage.completed formatted$/));
    expect(lines).toContainEqual(expect.stringMatching(/^formatted.dataset data.parquet: [1-9]\d+ bytes$/));
    expect(lines.at(-1)).toBe('completed');
  });

  it('follows several runs at once', async () => {
    const lines = (await example('run_many.py', recipe)).stdout.trim().split('\n').toSorted();
    expect(lines).toEqual([1, 2, 3].map((seed) => expect.stringMatching(`^seed ${seed}: \\d+ events, completed$`)));
  });

  it('tells the problems of a recipe with their places', async () => {
    const wrong = example('run_recipe.py', join(root, 'test/samples/several-problems/recipe.yaml'));
    await expect(wrong).rejects.toMatchObject({ code: 2, stdout: expect.stringMatching(/^\d+:\d+: /m) });
  });
});

const tools = ['g++', 'cmake', 'protoc', 'grpc_cpp_plugin', 'pkg-config'];
const missing = tools.filter((tool) => {
  try {
    execFileSync('which', [tool], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});

describe(`the C++ client${missing.length === 0 ? '' : ` (not run: ${missing.join(', ')} is not installed)`}`, () => {
  it.skipIf(missing.length > 0)(
    'is built with the packages of Debian, runs a recipe to its end, and tells the codes of errors',
    async () => {
      const build = join(root, 'dist/clients-cpp');
      mkdirSync(build, { recursive: true });
      await run('cmake', ['-S', join(root, 'proto/clients/cpp'), '-B', build]);
      await run('cmake', ['--build', build], { maxBuffer: 2 ** 24 });
      const program = join(build, 'run_recipe');
      const { stdout } = await run(program, [recipe], { env: environment() });
      const lines = stdout.trim().split('\n');
      expect(lines[0]).toBe('1 run.created');
      expect(lines).toContainEqual(expect.stringMatching(/^formatted.dataset data.parquet: [1-9]\d+ bytes$/));
      expect(lines.at(-1)).toBe('RUN_STATUS_COMPLETED');
      const wrong = run(program, [join(root, 'package.json')], { env: environment() });
      await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('error[invalid_recipe]') });
    },
    600_000,
  );
});
