import { fakeTrainerPlugin, type RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { processIdentity } from '../../../core/process/process-identity.js';
import { asking } from './asking-plugin.js';
import { harnessWith } from './fixture-harness.js';
import { type Misbehavior, whereItHangs } from './fixture-misbehaviors.js';

const harnessOf = harnessWith(asking, fakeTrainerPlugin);

const recipe = (tcp = false) => `
name: launched
trainers:
  student: { uses: fake-trainer/fake, launcher: { uses: fixture/here, with: { tcp: ${tcp} } } }
stages: { ask: { uses: asking/ask, with: { trainer: student } } }
`;

/** Has the launcher start something that does nothing. */
async function launchedOf(
  harness: RunHarness,
  { devices = [], info = () => {} }: { readonly devices?: readonly string[]; info?(line: string): void } = {},
) {
  const { definition } = await harness.catalog.launcher('fixture/here');
  const files = { stdoutFile: `${harness.recipeFolder}/out.log`, stderrFile: `${harness.recipeFolder}/err.log` };
  const log = { debug() {}, info, warning() {}, error() {} };
  const command = { argv: ['sleep', '60'], env: { SIMMER_TRAINER_ADDRESS: '127.0.0.1:0' } };
  return { definition, launched: await definition.launch({ command, resources: {}, devices, ...files, log }, {}) };
}

describe('a launcher of a plugin that is a process', () => {
  it.each([false, true])(
    'starts a trainer and ends it; reached by TCP: %s',
    async (tcp) => {
      await using harness = await harnessOf('none');
      const run = await harness.run(recipe(tcp));
      expect(run.outcome).toMatchObject({ status: 'completed' });
      const [started] = run.eventsOf('trainer.started');
      expect(started?.data.address).toMatch(tcp ? /^127\.0\.0\.1:/ : /^unix:/);
      expect(await processIdentity(started!.data.pid)).toBeUndefined();
      expect(run.eventsOf('log.written').map(({ data }) => data.message)).toContain(
        'launches with undefined cores on GPU ',
      );
    },
    300_000,
  );

  it('is told which GPUs of this machine are for what it starts', async () => {
    await using harness = await harnessOf('none');
    const lines: string[] = [];
    const { launched } = await launchedOf(harness, { devices: ['1', '3'], info: (line) => lines.push(line) });
    await launched.terminate(1_000);
    expect(lines).toEqual(['launches with undefined cores on GPU 1 and 3']);
  });

  it('starts what lives on without it, is found again, and ends by its word', async () => {
    await using harness = await harnessOf('none');
    const { definition, launched } = await launchedOf(harness);
    expect(await processIdentity(launched.pid)).toBeDefined();
    const again = await definition.attach(launched.pid, {});
    expect(again?.pid).toBe(launched.pid);
    await again?.terminate(1_000);
    await launched.exited;
    expect(await definition.attach(launched.pid, {})).toBeUndefined();
  });

  it('is not asked to read a secret that the recipe does not give it', async () => {
    await using harness = await harnessOf('none');
    await expect(harness.plan(recipe().replace('tcp: false', 'key: ORACLE_KEY'))).rejects.toMatchObject({
      problems: [{ code: 'secret_not_given', path: 'trainers.student.launcher.with.key' }],
    });
  });

  it('says itself that what it started is gone', async () => {
    await using harness = await harnessOf('attach-never');
    const { definition, launched } = await launchedOf(harness);
    expect(await definition.attach(launched.pid, {})).toBeUndefined();
    await launched.terminate(0);
  });

  it('is not needed to end what it started', async () => {
    await using harness = await harnessOf('terminate-idle');
    const { launched } = await launchedOf(harness);
    await launched.terminate(0);
    expect(await processIdentity(launched.pid)).toBeUndefined();
  });
});

describe('a launcher of a process that breaks', () => {
  it.each<readonly [Misbehavior, string, RegExp]>([
    ['launch-crash', 'plugin_exited', /Launching with fixture\/here failed: .*exit code 16/],
    ['launch-hang', 'plugin_hung', /Launching with fixture\/here failed: .*not answered for 1 seconds/],
    ['launch-nothing', 'plugin_broke_contract', /Launching with fixture\/here failed: .*without the id of a process/],
    ['resolve-rubbish', 'plugin_broke_contract', /Resolving fixture\/here failed: .*gave a trainer -1 seconds/],
  ])(
    '(%s) fails the stage with one error, %s, that names it',
    async (misbehavior, code, message) => {
      await using harness = await harnessOf(misbehavior, whereItHangs(misbehavior, { answerSeconds: 1 }));
      const run = await harness.run(recipe());
      expect(run.outcome).toMatchObject({
        status: 'failed',
        stage: 'ask',
        error: { code, kind: 'runFailed', message: expect.stringMatching(message) },
      });
    },
    300_000,
  );
});
