import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../test/temporary-folder.js';
import type { UserError } from '../errors.js';
import { PluginCatalog } from './catalog.js';
import { builtInPlugins } from './locate.js';

const folder = sharedFolder();

async function write(path: string, text: string): Promise<string> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
  return join(folder, path);
}

const plugin = (name: string, rest = '') =>
  `export default { name: '${name}', version: '1.0.0', apiVersion: 1, ${rest} };`;

const catalogOf = (...recipePlugins: string[]) => new PluginCatalog({ builtIn: {}, recipePlugins, baseFolder: folder });

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable('it did not fail'),
    (error: UserError) => ({ code: error.code, message: error.message, hint: error.hint }),
  );

describe('a plugin by path', () => {
  test('is found by the name that it gives itself', async () => {
    await write('one/called.js', plugin('called'));
    const loaded = await catalogOf('./one/called.js').plugin('called');
    expect(loaded.definition.version).toBe('1.0.0');
    expect(loaded.source).toBe('./one/called.js');
  });

  test('may be a folder with a package.json', async () => {
    await write(
      'folder/package.json',
      '{"exports": {".": {"types": "./x.d.ts", "import": "./lib/main.js"}}, "type": "module"}',
    );
    await write('folder/lib/main.js', plugin('foldered'));
    expect((await catalogOf('./folder').plugin('foldered')).definition.name).toBe('foldered');
  });

  test('may be what TypeScript compiles to CommonJS', async () => {
    const compiled = `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.default = { name: 'common', version: '1.0.0', apiVersion: 1 };`;
    await write('common/package.json', '{"main": "plugin.js"}');
    await write('common/plugin.js', compiled);
    expect((await catalogOf('./common').plugin('common')).definition.version).toBe('1.0.0');
  });

  test('that is not there is refused by its path', async () => {
    expect(await failure(catalogOf('./nowhere.js').plugin('x'))).toEqual({
      code: 'plugin_not_found',
      message: `Plugin "./nowhere.js" is not there: no file or folder ${join(folder, 'nowhere.js')}.`,
      hint: "Paths of plugins are relative to the recipe's folder.",
    });
  });

  test('that was moved along with its recipe, as a resumed run finds, is refused with what to do', async () => {
    const baseFolder = join(folder, 'moved');
    const moved = new PluginCatalog({ builtIn: {}, recipePlugins: ['./plugin'], baseFolder });
    expect(await failure(moved.plugin('x'))).toEqual({
      code: 'plugin_not_found',
      message: `Plugin "./plugin" is not there: no file or folder ${join(baseFolder, 'plugin')}.`,
      hint: `The recipe's folder is gone. If it was moved, \`simmer run\` the recipe where it is now, which does nothing twice.`,
    });
  });

  test('that takes the name of a built-in plugin is refused', async () => {
    await write('taken/plugin.js', plugin('mine'));
    const catalog = new PluginCatalog({
      builtIn: { mine: join(folder, 'taken/plugin.js') },
      recipePlugins: ['./taken/plugin.js'],
      baseFolder: folder,
    });
    expect(await failure(catalog.all())).toMatchObject({ code: 'plugin_name_taken' });
  });

  test('that takes the name of one listed before it is refused', async () => {
    await write('twice/a.js', plugin('same'));
    await write('twice/b.js', plugin('same'));
    expect(await failure(catalogOf('./twice/a.js', './twice/b.js').all())).toMatchObject({
      code: 'plugin_name_taken',
      message: 'Plugin "same" (./twice/b.js) has the name of another: ./twice/a.js.',
    });
  });
});

test('an npm plugin is found in node_modules above the recipe', async () => {
  await write('node_modules/@org/plugin/package.json', '{"main": "main.js", "type": "module"}');
  await write('node_modules/@org/plugin/main.js', plugin('orgs'));
  await mkdir(join(folder, 'deep/er'), { recursive: true });
  const catalog = new PluginCatalog({
    builtIn: {},
    recipePlugins: ['@org/plugin'],
    baseFolder: join(folder, 'deep/er'),
  });
  expect((await catalog.plugin('orgs')).source).toBe('@org/plugin');
});

describe('a plugin of the wrong shape is refused, naming it and its place', () => {
  test.each([
    ['a list of stages', `stages: []`, 'Plugin "shape-0" (./shape/0.js): `stages` must be an object, not a list.'],
    [
      'options that are no schema',
      `stages: { a: { description: '', options: {}, inputs: {}, outputs: {}, run() {} } }`,
      'Plugin "shape-1" (./shape/1.js): `stages.a.options` must be z.object({…}) of zod 4.',
    ],
    ['no description', `sinks: { a: {} }`, 'Plugin "shape-2" (./shape/2.js): `sinks.a.description` must be a string.'],
  ])('%s', async (_title, rest, message) => {
    const index = Number(/shape-(\d)/.exec(message)![1]);
    await write(`shape/${index}.js`, plugin(`shape-${index}`, rest));
    expect(await failure(catalogOf(`./shape/${index}.js`).all())).toMatchObject({ code: 'invalid_plugin', message });
  });

  test('a version that is none', async () => {
    await write('shape/version.js', `export default { name: 'v', version: 'one', apiVersion: 1 };`);
    expect(await failure(catalogOf('./shape/version.js').all())).toMatchObject({
      code: 'invalid_plugin',
      message: 'Plugin "v" (./shape/version.js): its version must be semantic ("1.2.3"), not "one".',
    });
  });
});

test('an unknown stage is answered with the nearest one', async () => {
  const stage = `{ description: '', options: { safeParse() {}, _zod: { def: { type: 'object' } } }, inputs: {}, outputs: {}, run() {} }`;
  await write('near/plugin.js', plugin('near', `stages: { select: ${stage}, split: ${stage} }`));
  const catalog = catalogOf('./near');
  expect(await failure(catalog.stage('near/slect'))).toMatchObject({
    code: 'unknown_stage',
    message: 'Plugin "near" has no stage "slect".',
    hint: 'Did you mean "near/select"?',
  });
  expect(await failure(catalog.stage('nera/select'))).toMatchObject({ code: 'unknown_plugin' });
  expect(await failure(catalog.stage('near'))).toMatchObject({ code: 'invalid_uses' });
  expect(await failure(catalog.trainer('near/torch'))).toMatchObject({ hint: 'It has no trainers at all.' });
});

test('a built-in plugin that is not built says how to build it', async () => {
  const catalog = new PluginCatalog({ builtIn: { sft: join(folder, 'dist/no.js') }, baseFolder: folder });
  expect(await failure(catalog.plugin('sft'))).toMatchObject({ code: 'not_built', hint: 'Run `npm run build`.' });
});

describe('the code digest', () => {
  test('changes with the code of the folder, and not with tests or the place', async () => {
    await write('digest/a/package.json', '{"main": "./index.js", "type": "module"}');
    await write('digest/a/index.js', plugin('digested'));
    const digest = async (path: string) => (await catalogOf(path).plugin('digested')).codeDigest();
    const first = await digest('./digest/a');
    await write('digest/a/index.test.js', 'whatever');
    expect(await digest('./digest/a')).toBe(first);
    await write('digest/b/package.json', '{"main": "./index.js", "type": "module"}');
    await write('digest/b/index.js', plugin('digested'));
    expect(await digest('./digest/b')).toBe(first);
    await write('digest/b/prompt.txt', 'used by the stage');
    expect(await digest('./digest/b')).not.toBe(first);
  });

  test('of a plugin that is one file covers what it imports', async () => {
    await write('single/p.js', `import './dep.js'; ${plugin('single')}`);
    await write('single/dep.js', 'export const one = 1;');
    await write('single/unrelated.js', '1');
    const digest = async () => (await catalogOf('./single/p.js').plugin('single')).codeDigest();
    const first = await digest();
    await write('single/unrelated.js', '2');
    expect(await digest()).toBe(first);
    await write('single/dep.js', 'export const one = 2;');
    expect(await digest()).not.toBe(first);
  });
});

test('the built-in plugins are those that package.json lists, as absolute paths', () => {
  expect(Object.keys(builtInPlugins())).toContain('curation');
  expect(builtInPlugins().curation).toMatch(/^\/.*\/plugins\/curation\/plugin\.ts$/);
});
