import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { readPlan } from '../../../core/engine/run-folder.js';
import { pluginPackageFolder } from '../../../core/plugin/locate.js';
import { type ListedPlugin, listedPlugins } from '../../../core/plugin/plugin-reference.js';
import { processLimits } from '../../../core/plugin/process/limits.js';
import { PluginProcess } from '../../../core/plugin/process/plugin-process.js';
import { temporaryFolder } from '../../temporary-folder.js';
import { program } from './fixture-harness.js';
import type { Misbehavior } from './fixture-misbehaviors.js';

const greeting = 'name: greeting\nstages: { greet: { uses: fixture/greet } }';

type Limits = { readonly [key: string]: string | number };

function listed(misbehavior: Misbehavior, limits: Limits = {}, secrets: string[] = []): ListedPlugin {
  return { command: [process.execPath, program, misbehavior], limits, secrets };
}

function harnessOf(...plugins: ListedPlugin[]): Promise<RunHarness> {
  return RunHarness.create({ plugins: [askingPlugin], listedPlugins: plugins });
}

const askingPlugin = definePlugin({
  name: 'asking',
  version: '1.0.0',
  apiVersion,
  stages: {
    ask: defineStage({
      description: 'Asks the grader of another plugin.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { grades: { type: 'report', description: 'What it said.' } },
      async run({ grader, artifacts }) {
        const equal = await grader('fixture/equal');
        const grades = await equal.grade([
          { id: 'a', gold: '4', answer: '4', question: '2 + 2' },
          { id: 'b', gold: '4', answer: '5' },
        ]);
        return {
          grades: await artifacts.writeReport(grades.map(({ verdict, explanation }) => [verdict, explanation])),
        };
      },
    }),
  },
});

async function reportOf(run: Awaited<ReturnType<RunHarness['run']>>, output: string): Promise<unknown> {
  return JSON.parse(await readFile((await run.artifact(output)).path('report.json'), 'utf8'));
}

describe('a plugin that is a process', () => {
  it('runs a stage: its options, its events, what it commits', async () => {
    await using harness = await harnessOf(listed('none'));
    const run = await harness.run('name: g\nseed: 5\nstages: { greet: { uses: fixture/greet, with: { rows: 2 } } }');
    expect(run.outcome).toMatchObject({ status: 'completed' });
    expect(await reportOf(run, 'greet.greetings')).toEqual({ greetings: ['hello 0', 'hello 1'], seed: 5 });
    const [progress] = run.eventsOf('stage.progressed');
    expect(progress?.data).toEqual({ done: 1, total: 2, unit: 'rows', figures: { happy: 1 } });
    expect(run.eventsOf('log.written').map(({ data }) => data.message)).toContain('secret is unknown');
  });

  it('has what it writes to stdout and stderr in the log of its stage, without its handshake', async () => {
    await using harness = await harnessOf(listed('rubbish-around'));
    const told = (await harness.run(greeting)).eventsOf('log.written').filter(({ stage }) => stage === 'greet');
    const said = told.map(({ data }) => data.message);
    expect(said).toEqual(expect.arrayContaining(['and ready', 'said on stdout', 'said on stderr']));
    expect(said.join()).not.toContain('SIMMER-PLUGIN');
  });

  it('takes its results from the cache: placement is no part of the key', async () => {
    await using harness = await harnessOf(listed('none'));
    await harness.run(greeting);
    const again = await harness.run('name: g\nstages: { greet: { uses: fixture/greet, with: { threads: 8 } } }');
    const more = await harness.run('name: g\nstages: { greet: { uses: fixture/greet, with: { rows: 4 } } }');
    expect(again.eventsOf('stage.reused')).toHaveLength(1);
    expect(more.eventsOf('stage.reused')).toHaveLength(0);
  });

  it('has its options checked by its own schema', async () => {
    await using harness = await harnessOf(listed('none'));
    const wrong = harness.plan('name: g\nstages: { greet: { uses: fixture/greet, with: { rows: 0, rowz: 2 } } }');
    await expect(wrong).rejects.toMatchObject({
      problems: [
        { message: 'stages.greet.with.rows must be at least 1, not 0.' },
        { message: 'Unknown key "rowz" in stages.greet.with.', hint: 'Did you mean "rows"?' },
      ],
    });
  });

  it('grades for the stages of others, and sees the events of a run', async () => {
    await using harness = await harnessOf(listed('none'));
    const run = await harness.run('name: g\nsinks: [fixture/types]\nstages: { ask: { uses: asking/ask } }');
    expect(await reportOf(run, 'ask.grades')).toEqual([
      ['right', '2 + 2'],
      ['wrong', 'not asked'],
    ]);
    const { recipeFolder } = await readPlan(run.runFolder);
    const types = run.events.map(({ type }) => type);
    expect(JSON.parse(await readFile(join(run.runFolder, 'types.json'), 'utf8'))).toEqual({ recipeFolder, types });
  });

  it('is told of where it grades out of order, with the grader and the items', async () => {
    await using harness = await harnessOf(listed('grades-shuffled'));
    const { outcome } = await harness.run('name: g\nstages: { ask: { uses: asking/ask } }');
    const message =
      'Stage "ask" (asking/ask): Grading with fixture/equal failed: The plugin gave a grade with the id "b" where that of ' +
      '"a" was due: they come in the order asked.';
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'plugin_broke_contract', message } });
  });

  it('is given the secrets that the recipe names, and no other variable of the host', async () => {
    process.env.FIXTURE_SECRET = 'open sesame';
    try {
      await using without = await harnessOf(listed('none'));
      await using given = await harnessOf(listed('none', {}, ['FIXTURE_SECRET']));
      const said = async (harness: RunHarness) =>
        (await harness.run(greeting)).eventsOf('log.written').map(({ data }) => data.message);
      expect(await said(without)).toContain('secret is unknown');
      // It got it, and what it then told the log is covered up: the host knows the secret.
      expect(await said(given)).toContain('secret is [redacted]');
      await using missing = await harnessOf(listed('none', {}, ['FIXTURE_SECRET_2']));
      await expect(missing.plan(greeting)).rejects.toMatchObject({ code: 'secret_missing' });
    } finally {
      delete process.env.FIXTURE_SECRET;
    }
  });

  it('is not asked to read a secret that the recipe does not give it', async () => {
    await using harness = await harnessOf(listed('none', {}, ['PATH']));
    const recipe = (key: string) => `name: g\nstages: { greet: { uses: fixture/greet, with: { key: ${key} } } }`;
    await expect(harness.plan(recipe('ORACLE_KEY'))).rejects.toMatchObject({
      problems: [
        {
          code: 'secret_not_given',
          message: 'The plugin does not get the environment variable ORACLE_KEY.',
          path: 'stages.greet.with.key',
          hint: 'List it where the recipe lists the plugin: { plugin: …, secrets: [ORACLE_KEY] }',
        },
      ],
    });
    expect((await harness.plan(recipe('PATH'))).stages[0]?.secrets).toEqual(['PATH']);
  });

  it('spends below the budget of the run', async () => {
    await using harness = await harnessOf(listed('none'));
    const paying = (usd: number) =>
      harness.run(`name: g\nbudget: { usd: 1 }\nstages: { greet: { uses: fixture/greet, with: { usd: ${usd} } } }`);
    const [spent] = (await paying(0.5)).eventsOf('budget.spent').filter(({ data }) => data.source === 'an oracle');
    expect(spent?.data).toMatchObject({ usd: 0.25, inputTokens: 10, outputTokens: 5 });
    // Twice the limit would not do for this.
    const hint = expect.stringContaining('--set budget.usd=10');
    const outcome = { status: 'interrupted', error: { code: 'budget_reached', hint } };
    expect((await paying(5)).outcome).toMatchObject(outcome);
  });

  it('is found again by the plan of its run, with what the recipe gave it', async () => {
    const given = listed('none', { memory: '1 GiB' });
    await using harness = await harnessOf(given);
    const { plugins } = await harness.plan(greeting);
    const [again] = listedPlugins(plugins);
    await using other = await harnessOf(again!);
    expect(again).toMatchObject({ command: [process.execPath, program, 'none'], limits: { memory: 2 ** 30 } });
    expect((await other.plan(greeting)).plugins).toEqual(plugins);
  });

  it('stops with the run', async () => {
    await using harness = await harnessOf(listed('hang'));
    const handle = await harness.start(greeting, {
      sinks: [{ onEvent: ({ type }) => void (type === 'stage.started' && handle.interrupt('enough')) }],
    });
    const run = await harness.ended(handle);
    expect(run.outcome).toEqual({ status: 'interrupted', reason: 'enough' });
  });

  it.each([
    ['has the time for a reply that is paid for before its time to stop begins', 'waits', 0.25],
    ['is killed where such a reply is dropped, which counts for its most', 'drops', 0.5],
  ])('%s', async (_, how, usd) => {
    await using harness = await harnessOf(listed('pays-slowly', { stopSeconds: 0.3 }));
    const handle = await harness.start('name: g\nstages: { greet: { uses: fixture/greet, with: { usd: 0.5 } } }', {
      sinks: [
        {
          onEvent: (event) => {
            if (event.type !== 'log.written' || event.data.message !== 'it is asked') return;
            handle.interrupt('enough');
            if (how === 'drops') handle.dropReplies();
          },
        },
      ],
    });
    const run = await harness.ended(handle);
    expect(run.outcome).toEqual({ status: 'interrupted', reason: 'enough' });
    const said = run.eventsOf('log.written').map(({ data }) => data.message);
    expect(said).toContainEqual(expect.stringMatching(/^Waiting for a reply that is paid for, at most 2 minutes;/));
    expect(said.includes('its reply is kept')).toBe(how === 'waits');
    expect(run.eventsOf('budget.spent').at(-1)?.data.total.usd).toBe(usd);
  });

  it('is killed where it does not stop', async () => {
    await using harness = await harnessOf(listed('ignore-cancel', { stopSeconds: 0.3 }));
    const handle = await harness.start(greeting, {
      sinks: [{ onEvent: ({ type }) => void (type === 'stage.started' && handle.interrupt('enough')) }],
    });
    expect((await harness.ended(handle)).outcome).toEqual({ status: 'interrupted', reason: 'enough' });
  });
});

describe('a plugin that is a folder', () => {
  it('is found by its manifest, and its key follows its files', async () => {
    const folder = await temporaryFolder();
    const manifest = { apiVersion: 1, command: [process.execPath, program], limits: { memory: '1 GiB' } };
    await writeFile(join(folder, 'simmer-plugin.yaml'), JSON.stringify(manifest));
    const keyOf = async () => {
      await using harness = await harnessOf(folder);
      return (await harness.plan(greeting)).stages[0]?.codeDigest;
    };
    const first = await keyOf();
    expect(await keyOf()).toBe(first);
    await writeFile(join(folder, 'more.txt'), 'more');
    expect(await keyOf()).not.toBe(first);
  });

  it.each([
    [{ apiVersion: 9 }, { code: 'api_version_mismatch', message: expect.stringContaining('plugin API 9') }],
    [{ apiVersion: 1, commands: ['x'] }, { code: 'invalid_plugin_manifest' }],
    [{ apiVersion: 1, command: ['python', 'x.py'], python: 'gone.txt' }, { code: 'invalid_plugin_manifest' }],
  ])('is refused with a manifest %j', async (manifest, error) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'simmer-plugin.yaml'), JSON.stringify(manifest));
    await using harness = await harnessOf(folder);
    await expect(harness.catalog.plugin('fixture')).rejects.toMatchObject(error);
  });
});

describe('a plugin that breaks before it is known', () => {
  // Whatever does start has time for it on a machine that is busy: only what never serves is waited for in vain.
  const late = { startSeconds: 5 };
  it.each<readonly [Misbehavior, Limits, string, RegExp]>([
    ['exit-at-start', {}, 'handshake_failed', /exit code 3 before it served\.\n {2}I had better not\./],
    ['wrong-protocol', {}, 'handshake_failed', /it speaks version 2 of the protocol, this Simmer speaks 1/],
    [
      'rubbish-instead',
      late,
      'handshake_failed',
      /no handshake line within 5 seconds\.\n {2}stdout: hello!\n {2}stdout: <html>/,
    ],
    ['flood', {}, 'plugin_floods_output', /wrote more than 67/],
    ['not-serving', late, 'plugin_not_serving', /does not serve/],
    ['bad-schema', {}, 'invalid_plugin', /the options of the stage "greet" are no JSON Schema/],
    ['bad-name', {}, 'invalid_plugin', /its name must be/],
  ])('(%s, %j) is one error, %s, that names it', async (misbehavior, limits, code, message) => {
    await using harness = await harnessOf(listed(misbehavior, { memory: '2 GiB', ...limits }));
    const failure = await harness.catalog.plugin('fixture').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(String(failure)).toContain('fixture.js');
  });

  it('shows the end of a Python traceback, and no folder that is gone', async () => {
    await using harness = await harnessOf({ command: ['python3', '-c', 'print("a'], limits: {}, secrets: [] });
    const failure = await harness.catalog.plugin('fixture').catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: expect.stringContaining('SyntaxError: '), hint: undefined });
  });

  it.each([
    [undefined, 'Install the package of "nowhere" for the Python that starts the plugin.'],
    [
      join(tmpdir(), 'requirements.txt'),
      'Add the package of "nowhere", with its version, to requirements.txt of the plugin',
    ],
  ])('says where to name a Python package that is not installed, with the requirements %s', async (lockFile, hint) => {
    const started = PluginProcess.start(
      {
        plugin: 'p',
        argv: ['python3', '-c', 'import nowhere.inside'],
        folder: tmpdir(),
        env: {},
        secrets: [],
        limits: processLimits({}, {}, 2 ** 30),
        ...(lockFile === undefined ? {} : { lockFile }),
      },
      { signal: new AbortController().signal },
    );
    await expect(started).rejects.toMatchObject({ code: 'handshake_failed', hint: expect.stringContaining(hint) });
  });

  it('says what simmer_plugin needs where a plugin has not required it', async () => {
    const program = `import sys; sys.path.insert(0, ${JSON.stringify(pluginPackageFolder)}); import simmer_plugin`;
    const started = PluginProcess.start(
      {
        plugin: 'p',
        argv: ['python3', '-I', '-S', '-c', program],
        folder: tmpdir(),
        env: {},
        secrets: [],
        limits: processLimits({}, {}, 2 ** 30),
        lockFile: join(tmpdir(), 'requirements.txt'),
      },
      { signal: new AbortController().signal },
    );
    await expect(started).rejects.toMatchObject({
      code: 'handshake_failed',
      hint: expect.stringMatching(
        /^simmer_plugin itself needs "pyarrow" .*plugin\.txt into requirements\.txt of the plugin/,
      ),
    });
  });

  it('may print what it likes around its handshake line', async () => {
    await using harness = await harnessOf(listed('rubbish-around'));
    expect((await harness.run(greeting)).outcome.status).toBe('completed');
  });
});

describe('a plugin that breaks in a stage', () => {
  it.each<readonly [Misbehavior, Limits, string, RegExp]>([
    [
      'crash',
      {},
      'plugin_exited',
      /Plugin fixture \(listed as .+\) was lost: it ended with exit code 7\.\n {2}something went terribly wrong/,
    ],
    ['hang', { stageSeconds: 1 }, 'plugin_timed_out', /took longer than its limit of 1 seconds/],
    ['freeze', { answerSeconds: 2 }, 'plugin_hung', /Plugin fixture \(listed as .+\) has not answered for 2 seconds/],
    ['hog', { memory: '300 MiB' }, 'plugin_over_memory', /its limit is 315 MB/],
    ['child-hog', { memory: '300 MiB' }, 'plugin_over_memory', /its limit is 315 MB/],
    ['no-end', {}, 'plugin_broke_contract', /without saying whether it completed or failed/],
    ['two-ends', {}, 'plugin_broke_contract', /after it had completed the stage/],
    ['undeclared-output', {}, 'stage_output_undeclared', /"more"/],
    ['made-up-output', {}, 'artifact_missing', /neither was given nor made/],
  ])('(%s) fails the stage with one error and ends nothing else', async (misbehavior, limits, code, message) => {
    await using harness = await harnessOf(listed(misbehavior, limits));
    const run = await harness.run(greeting);
    expect(run.outcome).toMatchObject({
      status: 'failed',
      stage: 'greet',
      error: { code, kind: 'runFailed', message: expect.stringMatching(message) },
    });
    expect(run.eventsOf('stage.failed')).toHaveLength(1);
    const { message: said = '' } = run.outcome.status === 'failed' ? run.outcome.error : {};
    expect(said).toMatch(/^Stage "greet" \(fixture\/greet\)/);
  });
});

it('leaves nothing behind: no process and no socket', async () => {
  await using harness = await harnessOf(listed('ignore-shutdown', { stopSeconds: 0.3 }));
  const run = await harness.run(greeting);
  expect(run.outcome.status).toBe('completed');
  const { stdout } = spawnSync('ps', ['-eo', 'args']);
  expect(
    String(stdout)
      .split('\n')
      .filter((line) => line.includes(`${program} ignore-shutdown`)),
  ).toEqual([]);
});
