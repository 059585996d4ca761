import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { glob } from 'tinyglobby';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtModule } from '../integration/built-module.js';
import { InstalledSimmer, run } from './plugin-package.js';

let installed: InstalledSimmer;
beforeAll(async () => {
  builtModule('core/cli/program.ts');
  installed = await InstalledSimmer.create('unpack');
});
afterAll(() => installed[Symbol.asyncDispose]());

describe('the npm package of simmerkit', () => {
  it('has all that runs need, and nothing to be built', () => {
    const inside = (path: string) => existsSync(join(installed.folder, 'node_modules/simmerkit', path));
    const needed = [
      'dist/core/index.d.ts',
      'dist/core/testing/fake-trainer/main.js',
      'recipes/quickstart.yaml',
      'proto/simmer/plugin/v1/plugin.proto',
      'plugins/torch-trainer/python/locks/cpu.txt',
      'plugins/torch-trainer/python/locks/cuda.txt',
      'plugins/torch-trainer/python/simmer_trainer/generated/simmer/trainer/v1/trainer_pb2_grpc.py',
      'plugins/eval/python/simmer_grader/generated/simmer/grader/v1/grader_pb2_grpc.py',
      'proto/clients/python/simmer_client/generated/simmer/control/v1/control_pb2_grpc.py',
      'proto/clients/python-plugin/simmer_plugin/generated/simmer/plugin/v1/host_pb2_grpc.py',
      'proto/clients/python-plugin/locks/plugin.txt',
    ];
    expect(needed.filter((path) => !inside(path))).toEqual([]);
    expect(['dist/test', 'dist/core/figures.test.js', 'plugins/eval/python/tests'].filter(inside)).toEqual([]);
  });

  it('has what its documents link to, the tests of this repository apart', async () => {
    const cwd = join(installed.folder, 'node_modules/simmerkit');
    const documents = await glob(['*.md', 'docs/**/*.md', 'plugins/*/README.md'], { cwd });
    expect(documents).toEqual(expect.arrayContaining(['SECURITY.md', 'docs/recipes.md', 'plugins/sft/README.md']));
    const dead = documents.flatMap((document) =>
      [...readFileSync(join(cwd, document), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map(([, link]) => join(dirname(document), link!))
        .filter((target) => !target.startsWith('test/') && !existsSync(join(cwd, target)))
        .map((target) => `${document}: ${target}`),
    );
    expect(dead).toEqual([]);
  });

  it('has each file that the definitions of the plugin API and of its hooks refer to', () => {
    const folder = join(installed.folder, 'node_modules/simmerkit/core/plugin');
    const named = ['definitions.ts', 'hooks.ts'].flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/from '(\.[^']+)\.js'/g)].map(([, path]) => `${path}.ts`),
    );
    expect(named).toContain('./log.ts');
    expect(named.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
  });
});

describe('a plugin that `simmer plugin new` made', () => {
  it('in TypeScript builds, passes its test, and works from its own package', async () => {
    const folder = await installed.author('short-words', 'typescript');
    expect(await run('npm', ['test'], folder)).toMatch(/. pass 2\n. fail 0/);
    const files = await installed.packAndInstall('short-words', folder);
    expect(files).toContain('plugin.js');
    expect(files.filter((file) => file.includes('test'))).toEqual([]);
    expect(await installed.stagesOf('short-words')).toEqual(['keep-short']);
    expect(await installed.stagesInSchema()).toContain('short-words/keep-short');
    expect(await installed.runRecipe('short-words')).toMatchObject({
      type: 'run.completed',
      data: { outputs: { 'short.dataset': expect.stringContaining('simmer://dataset/') } },
    });
  });

  it.each([
    ['grader', 'close-enough'],
    ['sink', 'stage-times'],
  ] as const)(
    'with a %s builds, passes its test, and works from its own package',
    async (kind, contribution) => {
      const name = `acme-${kind}`;
      const folder = await installed.author(name, 'typescript', kind);
      expect(await run('npm', ['test'], folder)).toMatch(/. pass 1\n. fail 0/);
      await installed.packAndInstall(name, folder);
      expect(await installed.simmer(['plugins', `${name}/${contribution}`])).toContain(`a ${kind}, ${name} 0.1.0`);
      const recipe = `node_modules/${name}/recipe.yaml`;
      const events = (await installed.simmer(['run', recipe, '--json'])).trim().split('\n');
      expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ type: 'run.completed' });
    },
    300_000,
  );

  it('leaves the others be where one is broken, and is told of by its name', async () => {
    const broken = join(installed.folder, 'node_modules/broken-plugin');
    await mkdir(broken);
    await writeFile(
      join(broken, 'package.json'),
      '{"name":"broken-plugin","keywords":["simmer-plugin"],"type":"module"}',
    );
    await writeFile(join(broken, 'index.js'), 'throw new Error("not today");');
    expect(await installed.stagesOf('short-words')).toEqual(['keep-short']);
    const program = join(installed.folder, 'node_modules/simmerkit/dist/core/cli/main.js');
    const said = await run(
      'sh',
      ['-c', `"${process.execPath}" "${program}" plugins 2>&1 >/dev/null`],
      installed.folder,
    );
    expect(said).toContain('The plugin broken-plugin is left out: Plugin broken-plugin failed to load: not today');
    await rm(broken, { recursive: true });
  });

  it('is refused by a Simmer with another version of the plugin API', async () => {
    const definitions = join(installed.folder, 'node_modules/simmerkit/dist/core/plugin/definitions.js');
    const own = readFileSync(definitions, 'utf8');
    await writeFile(definitions, own.replace('apiVersion = 1;', 'apiVersion = 2;'));
    try {
      const program = join(installed.folder, 'node_modules/simmerkit/dist/core/cli/main.js');
      const script = `"${process.execPath}" "${program}" plugins 2>&1 >/dev/null || true`;
      const said = await run('sh', ['-c', script], installed.folder);
      for (const name of ['short-words', 'acme-grader', 'acme-sink']) {
        const fault = `Plugin "${name}" (${name}) is written for plugin API 1; this Simmer has API 2.`;
        expect(said).toContain(`The plugin ${name} is left out: ${fault}`);
      }
    } finally {
      await writeFile(definitions, own);
    }
  });

  it('in Python works at once, and from its own package', async () => {
    const folder = await installed.author('short-snakes', 'python');
    expect(await installed.pythonTests(folder)).toMatch(/^Ran 1 test in .*\n\nOK$/m);
    const events = (await installed.simmer(['run', 'recipe.yaml', '--json'], folder)).trim().split('\n');
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ type: 'run.completed' });
    const files = await installed.packAndInstall('short-snakes', folder);
    expect(files.toSorted()).toEqual(
      ['README.md', 'package.json', 'recipe.yaml', 'plugin.py', 'requirements.txt', 'simmer-plugin.yaml'].toSorted(),
    );
    expect(await installed.stagesOf('short-snakes')).toEqual(['keep-short']);
    expect(await installed.stagesInSchema()).toContain('short-snakes/keep-short');
    expect(await installed.runRecipe('short-snakes')).toMatchObject({ type: 'run.completed' });
  });

  it.each([
    ['grader', 'close-enough', ['answers.jsonl']],
    ['sink', 'stage-times', []],
  ] as const)(
    'in Python with a %s keeps the contract, passes its test, and works at once and from its own package',
    async (kind, contribution, more) => {
      const name = `snake-${kind}`;
      const folder = await installed.author(name, 'python', kind);
      expect(await installed.simmer(['plugin', 'verify', '.'], folder)).toContain('keeps the contract');
      expect(await installed.pythonTests(folder)).toMatch(/^Ran 1 test in .*\n\nOK$/m);
      const files = await installed.packAndInstall(name, folder);
      const expected = [
        'README.md',
        'package.json',
        'plugin.py',
        'recipe.yaml',
        'requirements.txt',
        'simmer-plugin.yaml',
      ];
      expect(files.toSorted()).toEqual([...expected, ...more].toSorted());
      expect(await installed.simmer(['plugins', `${name}/${contribution}`])).toContain(`a ${kind}, ${name} 0.1.0`);
      const recipe = `node_modules/${name}/recipe.yaml`;
      const events = (await installed.simmer(['run', recipe, '--json']))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(events.at(-1)).toMatchObject({ type: 'run.completed' });
      expect(events.filter(({ type }) => type === 'sink.failed')).toEqual([]);
    },
    300_000,
  );

  it('is refused a name or a place that does not do', async () => {
    await expect(installed.simmer(['plugin', 'new', 'My Plugin'])).rejects.toThrow('error[invalid_plugin_name]');
    await expect(installed.simmer(['plugin', 'new', 'curation'])).rejects.toThrow('There is a plugin "curation"');
    await expect(installed.simmer(['plugin', 'new', 'x', '--folder', '.'])).rejects.toThrow('error[folder_not_empty]');
  });
});
