// biome-ignore-all lint/suspicious/noTemplateCurlyInString: plugins are written like that
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { commandDigest, folderDigest, moduleDigest } from './code-digest.js';

async function written(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** Whether a digest is another one once a file is. */
async function covers(folder: string, name: string, digest: () => Promise<string>): Promise<boolean> {
  const before = await digest();
  await writeFile(join(folder, name), 'changed');
  return (await digest()) !== before;
}

describe('the digest of a plugin that is one file covers', () => {
  test.each([
    ["const one = require('./lib/one');", 'lib/one.js'],
    ["const one = require('./lib/one.cjs');", 'lib/one.cjs'],
    ["const rules = require('./rules');", 'rules.json'],
    ["const lib = require('./lib');", 'lib/index.js'],
    ["export * from './one.js';", 'one.ts'],
    ['await import(`./one.js`);', 'one.js'],
    ["const here = require('.');", 'index.js'],
    ["export { one } from './one.js';", 'one.js'],
    ["import rules from './rules.json' with { type: 'json' };", 'rules.json'],
    ['const one = await import(/* @vite-ignore */ `./lib/${name}.js`);', 'lib/one.js'],
    ['const one = await import(`./lib/rules-${name}.js`);', 'lib/rules-one.ts'],
    ['const one = require(`./${name}.cjs`);', 'one.cjs'],
    ['const prompt = new URL(`./prompts/${name}`, import.meta.url);', 'prompts/de/one.txt'],
    ["const one = createRequire(import.meta.url)('./one.cjs');", 'one.cjs'],
    ["const one = createRequire(fileURLToPath(import.meta.url))('./one.json');", 'one.json'],
    ["const one = fork(require.resolve('./one'));", 'one.js'],
    ["const worker = new Worker(import.meta.resolve('./worker.js'));", 'worker.js'],
    ["const prompt = readFileSync(new URL('./prompt.md', import.meta.url), 'utf8');", 'prompt.md'],
  ])('what it names by %s', async (text, file) => {
    const folder = await written({ 'plugin.js': text, [file]: 'first', 'other.js': 'first' });
    const digest = () => moduleDigest(join(folder, 'plugin.js'));
    expect(await covers(folder, 'other.js', digest)).toBe(false);
    expect(await covers(folder, file, digest)).toBe(true);
  });

  test('what comes after a word that much empty space follows, without going over that again and again', async () => {
    const text = `// from${' '.repeat(300_000)}here\nimport './one.js';`;
    const folder = await written({ 'plugin.js': text, 'one.js': 'first' });
    expect(await covers(folder, 'one.js', () => moduleDigest(join(folder, 'plugin.js')))).toBe(true);
  });

  test('of what a template names only what it may name', async () => {
    const text = 'await import(`./rules-${name}.mjs`);\nnew URL(`./${name}`, import.meta.url);';
    const files = ['rules-one.mjs', 'rules.mjs', 'rules-one.txt', 'rules-one.test.mjs', 'runs/rules-one.mjs'];
    const folder = await written({
      'plugin.js': text,
      ...Object.fromEntries(files.map((name) => [name, 'first'])),
    });
    const digest = () => moduleDigest(join(folder, 'plugin.js'));
    const covered = [];
    for (const file of files) if (await covers(folder, file, digest)) covered.push(file);
    expect(covered).toEqual(['rules-one.mjs']);
  });

  test('the module that Node takes where a folder has its name', async () => {
    const folder = await written({
      'plugin.cjs': "require('./rules');",
      'rules.js': 'first',
      'rules/data.json': 'first',
    });
    const digest = () => moduleDigest(join(folder, 'plugin.cjs'));
    expect(await covers(folder, 'rules/data.json', digest)).toBe(false);
    expect(await covers(folder, 'rules.js', digest)).toBe(true);
  });

  test('of a folder that it is in itself only the index', async () => {
    const text = "const root = new URL('../..', import.meta.url);\nconst { one } = require('../../..');";
    const folder = await written({ 'a/b/c/plugin.js': text, 'index.js': 'first', 'a/runs.json': 'first' });
    const digest = () => moduleDigest(join(folder, 'a/b/c/plugin.js'));
    expect(await covers(folder, 'a/runs.json', digest)).toBe(false);
    expect(await covers(folder, 'index.js', digest)).toBe(true);
  });
});

describe('the digest of a plugin that is a command covers', () => {
  test.each([
    ['a file without a "/"', ['python3', 'plugin.py'], { 'plugin.py': '' }, 'plugin.py'],
    ['the module of an import', ['python3', 'plugin.py'], { 'plugin.py': 'import os, helper as h\n' }, 'helper.py'],
    [
      'the package of an import',
      ['python3', './plugin.py'],
      { 'plugin.py': 'from rules.math import x\n' },
      'rules/math.py',
    ],
    [
      'a module that is imported by its name',
      ['python3', 'plugin.py'],
      { 'plugin.py': "rules = importlib.import_module('rules.math')" },
      'rules/math.py',
    ],
    [
      'a module that is imported by the function',
      ['python3', 'plugin.py'],
      { 'plugin.py': '__import__("rules")' },
      'rules.py',
    ],
    [
      'a module that is imported on a line of its own',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'from rules.math import (\n    x,\n    y,\n)\nimport os, \\\n    helper' },
      'helper.py',
    ],
    ['a second import of a line', ['python3', 'plugin.py'], { 'plugin.py': 'import os; import rules' }, 'rules.py'],
    ['a package that is run', ['python3', '-m', 'rules'], {}, 'rules/__main__.py'],
    ['a module that is run', ['python3', '-m', 'rules'], {}, 'rules.py'],
    ['a module of a package that is run', ['python3', '-m', 'acme.rules'], {}, 'acme/rules.py'],
    ['what a module that is run imports', ['python3', '-m', 'rules'], { 'rules.py': 'import helper' }, 'helper.py'],
    [
      'what a package takes from beside it',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'import rules', 'rules/__init__.py': '', 'rules/math.py': 'from words import x' },
      'words.py',
    ],
    [
      'the module that Python takes where a folder has its name',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'import words', 'words/list.txt': '' },
      'words.py',
    ],
    [
      'data beside a module of a package without an __init__.py',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'from rules.math import x', 'rules/math.py': '' },
      'rules/words.txt',
    ],
    [
      'data beside a module that is taken from such a package',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'from rules import (\n    math,\n    other,\n)', 'rules/math.py': '' },
      'rules/words.txt',
    ],
    [
      'data beside a module that is taken from such a package behind a comment',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'from rules import (  # noqa: F401\n    # Ours.\n    math,\n)', 'rules/math.py': '' },
      'rules/words.txt',
    ],
    [
      'data beside a package in such a package',
      ['python3', 'plugin.py'],
      { 'plugin.py': 'import os, acme.rules.math', 'acme/rules/math.py': '' },
      'acme/rules/words.txt',
    ],
    ['data of such a package that is run', ['python3', '-m', 'rules'], { 'rules/__main__.py': '' }, 'rules/words.txt'],
    [
      'data beside a module of such a package that is run',
      ['python3', '-m', 'acme.rules'],
      { 'acme/rules.py': '' },
      'acme/words.txt',
    ],
    ['the file of an option', ['node', 'plugin.js', '--rules=rules.json'], {}, 'rules.json'],
  ])('%s', async (_, words, files, file) => {
    const folder = await written({ other: 'first', [file]: 'first', ...files });
    const digest = () => commandDigest(words, folder);
    expect(await covers(folder, 'other', digest)).toBe(false);
    expect(await covers(folder, file, digest)).toBe(true);
  });
});

describe('the digest of a plugin that is a command does not cover', () => {
  test.each([
    ['data in a folder with the name of an import', ['python3', 'plugin.py'], 'datasets/rows.jsonl'],
    [
      'data in such a folder that has code beside it, but is no package',
      ['python3', 'plugin.py'],
      'datasets/rows.jsonl',
      { 'datasets/prepare.py': '' },
    ],
    ['a file without an ending with that name', ['python3', 'plugin.py'], 'datasets'],
    ['a module that has the name of what is taken from another', ['python3', 'plugin.py'], 'load.py'],
    ['the folder of the recipe, for a word that is empty', ['python3', 'plugin.py', '', '--only='], 'rows.jsonl'],
  ] as [string, string[], string, Record<string, string>?][])('%s', async (_, words, file, files = {}) => {
    const script = 'import datasets\nfrom json import dump, load\n';
    const folder = await written({ 'plugin.py': script, [file]: 'first', ...files });
    expect(await covers(folder, file, () => commandDigest(words, folder))).toBe(false);
  });
});

describe('the digest of a folder covers', () => {
  test('what links in it lead to, also where one leads round', async () => {
    const elsewhere = await written({ 'shared.js': 'first', 'more/prompt.txt': 'first' });
    const folder = await written({ 'plugin.js': '' });
    await symlink(join(elsewhere, 'shared.js'), join(folder, 'shared.js'));
    await symlink(join(elsewhere, 'more'), join(folder, 'more'));
    await symlink(folder, join(folder, 'round'));
    const digest = () => folderDigest([folder]);
    expect(await covers(elsewhere, 'shared.js', digest)).toBe(true);
    expect(await covers(elsewhere, 'more/prompt.txt', digest)).toBe(true);
  });

  test('nothing of the folders that it is in, though a link leads there', async () => {
    const folder = await written({ 'plugin/plugin.js': '', 'runs.json': 'first' });
    await symlink(folder, join(folder, 'plugin', 'project'));
    expect(await covers(folder, 'runs.json', () => folderDigest([join(folder, 'plugin')]))).toBe(false);
  });

  test('a file that is too large to be read as one', async () => {
    const folder = await written({ 'weights.bin': '' });
    await truncate(join(folder, 'weights.bin'), 2 ** 31);
    expect(await covers(folder, 'weights.bin', () => folderDigest([folder]))).toBe(true);
  });

  test('folders of any name but those of tests and packages', async () => {
    const folder = await written({ 'generated/prompts.json': 'first', 'test/rows.json': 'first' });
    const digest = () => folderDigest([folder]);
    expect(await covers(folder, 'test/rows.json', digest)).toBe(false);
    expect(await covers(folder, 'generated/prompts.json', digest)).toBe(true);
  });
});
