// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are written like that
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { sharedFolder } from '../../test/temporary-folder.js';
import type { Settings } from '../config/settings.js';
import { canonicalJson } from '../document/canonical-json.js';
import { isUserError } from '../errors.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { definePlugin, defineStage, defineTrainer, trainerName } from '../plugin/define.js';
import { apiVersion } from '../plugin/definitions.js';
import { RunHarness } from '../testing/run-harness.js';
import { parseRecipe } from './load-recipe.js';
import type { Overrides } from './overrides.js';
import type { Plan } from './plan.js';
import { planDigest } from './plan-digest.js';
import { planRecipe } from './plan-recipe.js';
import { recipeJsonSchema } from './recipe-json-schema.js';
import { stageKey } from './stage-key.js';
import { orderStages } from './stage-order.js';

const kitchen = fileURLToPath(new URL('../../test/samples/kitchen/plugin.js', import.meta.url));
const folder = sharedFolder();

beforeAll(() => writeFile(join(folder, 'list.txt'), 'flour'));

const settings: Settings = {
  home: '/home',
  cacheFolder: '/cache',
  resources: { cpus: 2, memoryBytes: 4e9, gpus: 0 },
  sources: {},
};

const text = (changes: { rename?: string; speed?: number; rack?: number; list?: string; minutes?: number } = {}) => `
name: bread
seed: 7
params: { minutes: ${changes.minutes ?? 45}, data: { default: list.txt, dataFile: bench.txt } }
plugins: [${kitchen}]
trainers:
  ${changes.rename ?? 'oven'}: { uses: kitchen/oven, with: { rack: ${changes.rack ?? 2} }, launcher: kitchen/hand }
stages:
  pantry: { uses: kitchen/gather, with: { list: "${changes.list ?? '${{ params.data }}'}" } }
  dough: { uses: kitchen/mix, with: { dataset: "\${{ stages.pantry.dataset }}", speed: ${changes.speed ?? 1} } }
  loaf:
    uses: kitchen/bake
    with: { trainer: ${changes.rename ?? 'oven'}, dataset: "\${{ stages.dough.dataset }}", minutes: "\${{ params.minutes }}" }
`;

async function planOf(recipeText: string, given?: Partial<Overrides>, more: Partial<Settings> = {}): Promise<Plan> {
  const recipe = parseRecipe(join(folder, 'recipe.yaml'), recipeText, { params: {}, overrides: {}, ...given });
  const catalog = new PluginCatalog({ builtIn: {}, recipePlugins: recipe.plugins, baseFolder: recipe.folder });
  return planRecipe(recipe, catalog, { ...settings, ...more });
}

const keysOf = (plan: Plan): Record<string, string> =>
  Object.fromEntries(plan.stages.map((stage) => [stage.name, stageKey(stage, plan, { dataset: 'abc' })]));

describe('the key of a stage', () => {
  test('is the same for another place, another trainer name, another speed', async () => {
    const before = keysOf(await planOf(text()));
    await writeFile(join(folder, 'same.txt'), 'flour');
    expect(keysOf(await planOf(text({ rename: 'stove', speed: 9, rack: 3, list: 'same.txt' })))).toEqual(before);
  });

  test('is another for another value, seed, version of the trainer, code or input', async () => {
    const plan = await planOf(text());
    const stage = plan.stages.find(({ name }) => name === 'loaf')!;
    const key = stageKey(stage, plan, { dataset: 'abc' });
    const oven = plan.trainers.oven!;
    const others = [
      stageKey({ ...stage, semanticOptions: { minutes: 46 } }, plan, { dataset: 'abc' }),
      stageKey({ ...stage, seed: 8 }, plan, { dataset: 'abc' }),
      stageKey({ ...stage, codeDigest: 'x' }, plan, { dataset: 'abc' }),
      stageKey(stage, plan, { dataset: 'abd' }),
      stageKey(
        stage,
        { ...plan, trainers: { oven: { ...oven, relevantVersions: { oven: '5.0' } } } },
        { dataset: 'abc' },
      ),
      stageKey(
        stage,
        { ...plan, trainers: { oven: { ...oven, semanticOptions: { degrees: 90 } } } },
        { dataset: 'abc' },
      ),
    ];
    expect(new Set([key, ...others]).size).toBe(7);
  });

  test('is another where other options name the same trainers', async () => {
    const schema = z.object({
      solvers: z.array(z.object({ trainer: trainerName() })),
      judge: trainerName().optional(),
    });
    const plugin = definePlugin({
      name: 'exam',
      version: '1.0.0',
      apiVersion,
      stages: {
        sit: defineStage({ description: '', inputs: {}, outputs: {}, options: schema, run: async () => ({}) }),
      },
      trainers: {
        pupil: defineTrainer({
          description: '',
          options: z.object({ size: z.int() }),
          relevantVersions: async () => ({}),
          prepare: async () => ({ argv: ['true'], env: {} }),
        }),
      },
    });
    await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
    const keyOf = async (options: string) => {
      const plan = await harness.plan(
        `{name: x, trainers: {a: {uses: exam/pupil, with: {size: 1}}, b: {uses: exam/pupil, with: {size: 2}}},` +
          ` stages: {exam: {uses: exam/sit, with: ${options}}}}`,
      );
      return stageKey(plan.stages[0]!, plan, {});
    };
    const keys = [
      await keyOf('{solvers: [{trainer: a}, {trainer: a}, {trainer: b}]}'),
      await keyOf('{solvers: [{trainer: a}, {trainer: b}, {trainer: b}]}'),
      await keyOf('{solvers: [{trainer: a}], judge: b}'),
      await keyOf('{solvers: [{trainer: a}, {trainer: b}], judge: a}'),
      await keyOf('{solvers: [{trainer: a}, {trainer: b}], judge: b}'),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('is another where the content of a file is', async () => {
    await writeFile(join(folder, 'other.txt'), 'rye');
    const before = keysOf(await planOf(text()));
    const after = keysOf(await planOf(text({ list: 'other.txt' })));
    expect(after.pantry).not.toBe(before.pantry);
    expect(after.dough).toBe(before.dough);
  });
});

describe('overrides', () => {
  test('take the type of the default, and reach any value', async () => {
    const plan = await planOf(text(), {
      params: { minutes: '60' },
      overrides: { seed: '9', 'trainers.oven.with.degrees': '200', 'stages.dough.with.spices': '[a, 2]' },
    });
    expect(plan.seed).toBe(9);
    expect(plan.params.minutes).toBe(60);
    expect(plan.trainers.oven!.options.degrees).toBe(200);
    expect(plan.stages.find(({ name }) => name === 'dough')!.options.spices).toEqual(['a', 2]);
  });

  test('lead to the same plan as the same values in the file', async () => {
    const given = await planOf(text(), { params: { minutes: '60' } });
    expect(planDigest(given)).toBe(planDigest(await planOf(text({ minutes: 60 }))));
    expect(planDigest(given)).not.toBe(planDigest(await planOf(text())));
  });
});

describe('a param', () => {
  const named = text().replace(
    `minutes: 45,`,
    'minutes: { default: short, names: { short: 20 } }, list: { default: null, names: { own: list.txt } },',
  );

  test('with names takes a name for what it stands for, and other values as they are', async () => {
    const minutesOf = async (given: Partial<Overrides>) => (await planOf(named, given)).params.minutes;
    expect(await minutesOf({})).toBe(20);
    expect(await minutesOf({ params: { minutes: 'short' } })).toBe(20);
    expect(await minutesOf({ params: { minutes: '7' } })).toBe(7);
    await expect(planOf(named.replace('{ short: 20 }', '[20]'))).rejects.toMatchObject({
      problems: [{ code: 'wrong_type', path: 'params.minutes.names' }, expect.anything()],
    });
  });

  test.each([
    ['values', `[${'1,'.repeat(5_000)}]`, `[${'"${{ params.big }}",'.repeat(5_000)}]`],
    ['text', `"${'x'.repeat(50_000)}"`, `"${'${{ params.big }}'.repeat(5_000)}"`],
  ])('is not brought in until there are gigabytes: %s', async (_, big, many) => {
    const bomb = `${text().replace('params: {', `params: { big: ${big},`)}    description: ${many}\n`;
    await expect(planOf(bomb)).rejects.toMatchObject({
      problems: [{ code: 'too_large', path: expect.stringContaining('description') }],
    });
  });

  test('that is too much is told alone, whatever else is wrong with the stages that it is in', async () => {
    const stages = Array.from(
      { length: 40 },
      (_, at) => `  s${at}: { uses: kitchen/gather, with: { list: "\${{ params.big }}" } }`,
    );
    const bomb = `${text().replace('params: {', `params: { big: ${'x'.repeat(700_000)},`)}${stages.join('\n')}\n`;
    await expect(planOf(bomb)).rejects.toMatchObject({
      problems: [{ code: 'too_large', path: 'stages.s23.with.list' }],
    });
  });

  test('may be a list of a hundred thousand values', async () => {
    const long = text().replace('params: {', `params: { long: [${'1,'.repeat(100_000)}],`);
    await expect(planOf(`${long}    description: "\${{ params.long }}"\n`)).rejects.toMatchObject({
      problems: [{ code: 'wrong_type', path: expect.stringContaining('description') }],
    });
  });

  test('that is null takes the option away that it stands for', async () => {
    const listed = named.replace('${{ params.data }}', '${{ params.list }}');
    const listOf = async (given: Partial<Overrides>) => (await planOf(listed, given)).stages[0]!.options.list;
    expect(await listOf({})).toBeUndefined();
    expect(await listOf({ params: { list: 'own' } })).toBe('list.txt');
    await expect(planOf(text({ list: 'x' }).replace('"x"', 'null'))).rejects.toMatchObject({
      problems: [{ code: 'wrong_type', path: 'stages.pantry.with.list' }],
    });
  });
});

describe('a plan up to a stage', () => {
  test('has what the stage needs and nothing else, with the keys that the whole plan gives it', async () => {
    const [whole, part] = [await planOf(text()), await planOf(text(), { until: 'dough' })];
    expect(part.stages.map(({ name }) => name)).toEqual(['pantry', 'dough']);
    expect(part.until).toBe('dough');
    expect(part.trainers).toEqual({});
    const { loaf, ...others } = keysOf(whole);
    expect(keysOf(part)).toEqual(others);
    expect((await planOf(text(), { until: 'loaf' })).trainers).toEqual(whole.trainers);
  });

  test('says what the command line changed, which is no part of what it will make', async () => {
    const given = { params: {}, overrides: { seed: '8' }, until: 'dough' };
    const plan = await planOf(text(), given);
    expect(plan.changes).toEqual(['--set seed=8', '--until dough']);
    const written = await planOf(text().replace(/^seed: .*$/m, 'seed: 8'), { until: 'dough' });
    expect(planDigest(written)).toBe(planDigest(plan));
    expect((await planOf(text())).changes).toBeUndefined();
  });

  test('is refused where there is no such stage', async () => {
    await expect(planOf(text(), { until: 'doug' })).rejects.toMatchObject({
      problems: [{ code: 'unknown_stage_name', hint: 'Did you mean "dough"?' }],
    });
  });
});

test('a file of the data folder stands in for the default of its param, where it is there', async () => {
  expect((await planOf(text(), {}, { dataFolder: folder })).stages[0]!.options.list).toBe('list.txt');
  await writeFile(join(folder, 'bench.txt'), 'spelt');
  const plan = await planOf(text(), {}, { dataFolder: folder });
  expect(plan.stages[0]!.options.list).toBe(join(folder, 'bench.txt'));
  const checked = text().replace('dataFile: bench.txt', `dataFile: { file: bench.txt, sha256: ${'f'.repeat(64)} }`);
  await expect(planOf(checked, {}, { dataFolder: folder })).rejects.toMatchObject({
    problems: [{ code: 'wrong_file', path: 'params.data.dataFile' }],
  });
  expect((await planOf(text(), { params: { data: 'list.txt' } }, { dataFolder: folder })).stages[0]!.options.list).toBe(
    'list.txt',
  );
  await mkdir(join(folder, 'shelf'));
  const aFolder = planOf(checked.replace('bench.txt', 'shelf'), {}, { dataFolder: folder });
  await expect(aFolder).rejects.toMatchObject({ problems: [{ message: expect.stringContaining('it is no file') }] });
});

test.each(['../bench.txt', 'shelf/../../bench.txt', '/bench.txt'])('%s is no file of the data folder', async (file) => {
  for (const dataFile of [file, `{ file: ${file}, sha256: ${'f'.repeat(64)} }`]) {
    const planned = planOf(text().replace('dataFile: bench.txt', `dataFile: ${dataFile}`), {}, { dataFolder: folder });
    await expect(planned).rejects.toMatchObject({
      problems: [{ path: expect.stringMatching(/^params\.data\.dataFile/) }],
    });
  }
});

test('the digest of a plan does not depend on the order of keys, nor on places', async () => {
  const plan = await planOf(text());
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([key, inner]) => [key, shuffled(inner)]),
    );
  };
  expect(planDigest(shuffled(plan) as Plan)).toBe(planDigest(plan));
  expect(planDigest({ ...plan, recipeFolder: '/elsewhere', sinks: [] })).toBe(planDigest(plan));
});

test('canonical JSON is the same for the same value, and JSON of it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const canonical = canonicalJson(value);
      expect(JSON.parse(canonical)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(JSON.parse(canonical))).toBe(canonical);
    }),
  );
  expect(canonicalJson({ b: 1, a: [{ d: undefined, c: 'é' }] })).toBe('{"a":[{"c":"é"}],"b":1}');
  expect(() => canonicalJson({ a: Number.NaN })).toThrow(TypeError);
  expect(() => canonicalJson({ a: new Map() })).toThrow(TypeError);
});

test('in an order of stages each comes after its inputs, and what is in no order is in a cycle', () => {
  const graph = fc.dictionary(fc.constantFrom(...'abcdefgh'), fc.array(fc.constantFrom(...'abcdefgh')), {
    noNullPrototype: true,
  });
  fc.assert(
    fc.property(graph, (edges) => {
      const dependencies = new Map(Object.entries(edges));
      const { order, cycles } = orderStages(dependencies);
      expect([...order].sort()).toEqual([...dependencies.keys()].sort());
      for (const cycle of cycles) {
        cycle.forEach((stage, index) => {
          expect(dependencies.get(stage)).toContain(cycle[(index + 1) % cycle.length]);
        });
      }
      if (cycles.length > 0) return;
      for (const [stage, inputs] of dependencies) {
        for (const input of inputs.filter((name) => dependencies.has(name))) {
          expect(order.indexOf(input)).toBeLessThan(order.indexOf(stage));
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('whatever a recipe says, what is thrown is for the user', async () => {
  const leaf = fc.oneof(
    fc.constantFrom(
      'kitchen/gather',
      'kitchen/bake',
      'oven',
      '${{ params.x }}',
      '${{ stages.a.dataset }}',
      '${{',
      '-1',
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const key = fc.constantFrom(
    'uses',
    'with',
    'seed',
    'resources',
    'launcher',
    'dataset',
    'count',
    'trainer',
    'minutes',
    'z',
  );
  const entry = fc.dictionary(key, fc.oneof(leaf, fc.dictionary(key, leaf)), { noNullPrototype: true });
  const top = fc.record(
    {
      name: leaf,
      seed: leaf,
      params: fc.oneof(leaf, fc.dictionary(fc.constantFrom('x', 'y'), leaf, { noNullPrototype: true })),
      trainers: fc.oneof(
        leaf,
        fc.dictionary(fc.constantFrom('oven', 'b'), fc.oneof(leaf, entry), { noNullPrototype: true }),
      ),
      sinks: leaf,
      stages: fc.oneof(
        leaf,
        fc.dictionary(fc.constantFrom('a', 'b'), fc.oneof(leaf, entry), { noNullPrototype: true }),
      ),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(top, async (recipe) => {
      try {
        await planOf(JSON.stringify({ ...recipe, plugins: [kitchen] }));
      } catch (error) {
        if (!isUserError(error)) throw error;
        expect(error.code).toBe('invalid_recipe');
        expect(error.problems.length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 500 },
  );
});

test('the JSON Schema has the options and inputs of each stage, and lets references stand for values', async () => {
  const catalog = new PluginCatalog({ builtIn: {}, recipePlugins: [kitchen], baseFolder: folder });
  const schema = JSON.parse(JSON.stringify(await recipeJsonSchema(catalog)));
  const stage = schema.properties.stages.additionalProperties;
  expect(stage.properties.uses.oneOf).toContainEqual({ const: 'kitchen/mix', description: 'Mixes datasets.' });
  const bake = stage.allOf.find((choice: { if: { properties: { uses: { const: string } } } }) => {
    return choice.if.properties.uses.const === 'kitchen/bake';
  }).then.properties.with;
  expect(bake.required).toEqual(['trainer', 'minutes', 'dataset']);
  expect(bake.properties.minutes.description).toBe('How long it bakes.');
  expect(bake.properties.minutes.anyOf[1].pattern).toBe('\\$\\{\\{.*\\}\\}');
  expect(bake.properties.dataset.description).toBe('The dough. (dataset)');
  expect(bake.additionalProperties).toBe(false);
  const mix = stage.allOf[1].then.properties.with;
  expect(mix.properties.speed.anyOf[0]).toEqual({ type: 'number', exclusiveMinimum: 0 });
  const references = [...JSON.stringify(schema).matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)].map((match) => match[1]!);
  expect(references.length).toBeGreaterThan(0);
  expect(Object.keys(schema.$defs)).toEqual(expect.arrayContaining(references));
});
