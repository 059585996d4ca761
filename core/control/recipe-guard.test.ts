import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseDocument } from '../document/document.js';
import { ProblemList } from '../document/problem-list.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { outputFolder, runsCode, secretVariable, trainerExtensions } from '../plugin/define.js';
import { optionsFromJsonSchema } from '../plugin/process/json-schema-options.js';
import { checkOptions } from '../recipe/checked-options.js';
import { givenBeside } from '../recipe/guard.js';
import { applyOverrides } from '../recipe/overrides.js';
import { PlanScope } from '../recipe/plan-scope.js';
import { parseAllowedSecret } from './allowed-secrets.js';
import { recipeGuard } from './recipe-guard.js';

const around = ['stages', 'a', 'with'];

/**
 * What is said of the options of somebody's plugin where a client gives them; `foreign`: of those, which it gives;
 * `extensions`: what the trainer declares.
 */
async function problemsOf(
  schema: z.ZodObject,
  value: object,
  foreign?: string,
  allowed: readonly string[] = [],
  extensions?: z.ZodObject,
) {
  const folder = tmpdir();
  const given = { stages: { a: { with: value } } };
  const secrets = allowed.map(parseAllowedSecret);
  const rules = { folder, roots: [], plugins: [], options: ['theirs/stage.steps.allowed'], secrets };
  const problems = new ProblemList(parseDocument('my.yaml', JSON.stringify(given), 'recipe'));
  const overridden = applyOverrides(given, { params: {}, overrides: { [`stages.a.with.${foreign}`]: 'x' } });
  const scope = new PlanScope({
    catalog: new PluginCatalog({ builtIn: {}, baseFolder: folder }),
    problems,
    recipeFolder: folder,
    isUsdLimited: false,
    writtenAs: new Map(),
    guard: recipeGuard(rules, { trustsFile: foreign !== undefined }),
    isForeign: foreign === undefined ? () => true : givenBeside(overridden),
  });
  const checked = await checkOptions(scope, {
    ...{ uses: 'theirs/stage', schema, value, path: around },
    extensionsOf: () => extensions,
  });
  expect(checked === undefined).toBe(!problems.isEmpty);
  return problems.sorted().map(({ code, path }) => [code, path?.replace('stages.a.with.', '')]);
}

it('a plugin that is listed by its path is refused with word that a server knows plugins by their names', () => {
  const given = { plugins: ['./mine', 'other'] };
  const problems = new ProblemList(parseDocument('my.yaml', JSON.stringify(given), 'recipe'));
  const rules = { folder: tmpdir(), roots: [], plugins: ['mine'], options: [], secrets: [] };
  recipeGuard(rules, { trustsFile: false }).checkTree(given, () => true, problems);
  const allowed = 'Besides the built-in ones it allows mine; its owner allows others with --allow-plugin.';
  expect(problems.sorted().map(({ code, hint }) => [code, hint])).toEqual([
    ['plugin_not_allowed', `Plugins of a server are listed by their npm names. ${allowed}`],
    ['plugin_not_allowed', allowed],
  ]);
});

describe('an option that runs code', () => {
  const options = z.strictObject({
    program: runsCode(z.array(z.string())).default(['cat']),
    hook: z.union([z.enum(['none', 'log']), runsCode(z.strictObject({ command: z.string() }))]).optional(),
    steps: z
      .array(z.strictObject({ run: runsCode(z.string()).optional(), allowed: runsCode(z.string()).optional() }))
      .default([{ run: 'echo' }]),
    short: z
      .preprocess(
        (given) => (typeof given === 'string' ? { command: given } : given),
        z.strictObject({ command: runsCode(z.string()) }),
      )
      .optional(),
    line: z.union([z.literal(false), runsCode(z.string()).transform((line) => ({ line }))]).optional(),
    words: runsCode(z.string())
      .transform((text) => text.split(' '))
      .pipe(z.array(z.string()))
      .optional(),
    inside: z
      .strictObject({ command: runsCode(z.string()) })
      .transform(({ command }) => ({ argv: [command] }))
      .pipe(z.strictObject({ argv: z.array(z.string()) }))
      .optional(),
  });

  it('is left to its default', async () => {
    expect(await problemsOf(options, {})).toEqual([]);
    expect(await problemsOf(options, { hook: 'log', steps: [{ allowed: 'date' }] })).toEqual([]);
  });

  it.each([
    [{ program: ['cat'] }, 'program'],
    [{ hook: { command: 'id' } }, 'hook'],
    [{ steps: [{}, { run: 'id' }] }, 'steps[1].run'],
    [{ short: 'id' }, 'short.command'],
    [{ line: 'id' }, 'line'],
    [{ words: 'id -u' }, 'words'],
    [{ inside: { command: 'id' } }, 'inside.command'],
  ])('is refused wherever it is: %j', async (value, path) => {
    expect(await problemsOf(options, value)).toEqual([['option_not_allowed', path]]);
  });

  it('is marked by a plugin that is a process, too', async () => {
    const properties = { program: { type: 'string', 'x-simmer-runs-code': true }, other: { type: 'string' } };
    const described = optionsFromJsonSchema({ type: 'object', properties }, 'p', 'the options of the stage "s"');
    expect(await problemsOf(described, { other: 'id' })).toEqual([]);
    expect(await problemsOf(described, { program: 'id' })).toEqual([['option_not_allowed', 'program']]);
  });
});

describe('an option that is a folder to write into', () => {
  const options = z.strictObject({ logs: outputFolder().optional(), note: z.string().optional() });

  it('stays below the folders that a server allows, there or not, whatever its name looks like', async () => {
    expect(await problemsOf(options, { logs: 'logs/of runs', note: '/not there/some prose' })).toEqual([]);
    for (const logs of ['/not there/some prose', '/not-there/logs', '../logs', '/not there/{a b,c}'])
      expect(await problemsOf(options, { logs })).toEqual([['path_not_allowed', 'logs']]);
  });

  it.each(['~/logs', 's3://bucket/logs', ''])('is no %j', async (logs) => {
    expect(await problemsOf(options, { logs })).toHaveLength(1);
  });
});

describe('what a trainer is given besides hyperparameters', () => {
  const options = z.strictObject({ trainer: z.string(), extensions: trainerExtensions('trainer').optional() });
  const extensions = z.strictObject({
    fused: z.boolean().default(false),
    hook: runsCode(z.string()).default('none'),
    key: secretVariable().default('TEACHER'),
  });
  const refused = (given: object) =>
    problemsOf(options, { trainer: 't', extensions: given }, undefined, ['TEACHER'], extensions);

  it('is refused where it runs code, or names a secret', async () => {
    expect(await refused({ fused: true })).toEqual([]);
    expect(await refused({ hook: 'id' })).toEqual([['option_not_allowed', 'extensions.hook']]);
    expect(await refused({ key: 'HOME' })).toEqual([['secret_not_allowed', 'extensions.key']]);
  });
});

describe('an option that names a secret', () => {
  const refused = [['secret_not_allowed', 'key']];
  const bound = z.strictObject({
    url: z.string(),
    key: secretVariable('url').default('TEACHER'),
    count: z.int().default(1),
  });
  const free = z.strictObject({ host: z.string(), key: secretVariable().default('TEACHER') });

  it('is refused by its default, too, where a client says where it goes', async () => {
    expect(await problemsOf(bound, { url: 'https://a.example' })).toEqual(refused);
    expect(await problemsOf(bound, { url: 'https://a.example' }, 'url')).toEqual(refused);
    expect(await problemsOf(bound, { url: 'https://a.example', count: 2 }, 'count')).toEqual([]);
    expect(await problemsOf(free, { host: 'a.example' }, 'host')).toEqual(refused);
  });

  it('needs leave for anywhere, where it does not say where it goes', async () => {
    expect(await problemsOf(bound, { url: 'https://a.example/v1' }, undefined, ['TEACHER=https://a.example'])).toEqual(
      [],
    );
    expect(await problemsOf(free, { host: 'a.example' }, undefined, ['TEACHER=https://a.example'])).toEqual(refused);
    expect(await problemsOf(free, { host: 'a.example' }, undefined, ['TEACHER'])).toEqual([]);
  });

  it('is marked by a plugin that is a process, too', async () => {
    const properties = { url: { type: 'string' }, key: { type: 'string', 'x-simmer-secret': 'url' } };
    const described = optionsFromJsonSchema({ type: 'object', properties }, 'p', 'the options of the stage "s"');
    const given = { url: 'https://a.example', key: 'TEACHER' };
    expect(await problemsOf(described, given)).toEqual(refused);
    expect(await problemsOf(described, given, undefined, ['TEACHER=https://a.example/'])).toEqual([]);
  });
});
