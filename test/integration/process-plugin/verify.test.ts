import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../core/plugin/log.js';
import { pluginReference } from '../../../core/plugin/plugin-reference.js';
import { processPlugin } from '../../../core/plugin/process/load-listed-process.js';
import { commandOf } from '../../../core/plugin/process/process-plugin.js';
import { pluginCheckNames, verifyPlugin } from '../../../core/testing/plugin-conformance/verify-plugin.js';
import { sharedFolder } from '../../temporary-folder.js';
import { program } from './fixture-harness.js';
import type { Misbehavior } from './fixture-misbehaviors.js';

// The plugin is started there, and may leave files.
const folder = sharedFolder();

/** What of some is told besides which check they fail. */
const told: Partial<Record<Misbehavior, object>> = {
  // To a plugin that does not heed the versions that it is offered, where they are.
  'any-protocol': { expected: expect.stringContaining('SIMMER_PLUGIN_PROTOCOLS offers version 999') },
  // What a hook said too much; no end of it is waited for.
  'around-twice': { saw: 'runInside, runInside, runInside' },
};

/** Whether the suite waits for it in vain: not for long, but until it has started on a busy machine. */
function isWaitedFor(misbehavior: Misbehavior): boolean {
  return /hang|freeze|ignore|not-serving|any-protocol/.test(misbehavior);
}

async function verify(misbehavior: Misbehavior, only?: readonly string[]) {
  const reference = pluginReference({ command: [process.execPath, program, misbehavior] })!;
  const plugin = await processPlugin(reference, folder, { memoryBytes: 2 ** 31 });
  const where = { cacheFolder: folder, recipeFolder: folder };
  const command = await commandOf(plugin, {
    ...where,
    log: silentLog,
    signal: new AbortController().signal,
    emit: async () => {},
  });
  const patience = isWaitedFor(misbehavior) ? 10 : 30;
  return verifyPlugin({ plugin, command, patienceSeconds: patience, ...(only === undefined ? {} : { only }) });
}

const failedOf = (results: Awaited<ReturnType<typeof verify>>['results']) =>
  results.filter(({ status }) => status === 'failed').map(({ name }) => name);

describe.concurrent('the conformance suite of plugins, of which each case waits for processes', () => {
  it('passes one that keeps the contract, without a library', async () => {
    const { plugin, results, hasPassed } = await verify('hooks');
    expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
    expect(results.map(({ name }) => name)).toEqual(pluginCheckNames);
    expect([plugin, hasPassed]).toEqual([{ name: 'fixture', version: '1.0.0' }, true]);
  });

  // Each with the checks that it breaks, and some beside that it must not break.
  it.each<readonly [Misbehavior, readonly string[], readonly string[]]>([
    ['any-protocol', ['versions'], ['handshake', 'health']],
    ['wrong-protocol', ['handshake'], []],
    ['exit-at-start', ['handshake'], []],
    ['rubbish-around', ['stdout'], ['handshake', 'run']],
    ['not-serving', ['health'], ['handshake']],
    ['bad-schema', ['describe'], ['health']],
    ['bad-name', ['describe'], ['health']],
    ['describe-changes', ['describe-again'], ['describe']],
    ['check-forgetful', ['check-stage'], ['stage-resources']],
    ['check-rubbish', ['check-stage'], ['estimate-stage']],
    ['resources-crash', ['stage-resources'], ['check-stage']],
    ['estimate-rubbish', ['estimate-stage'], ['check-stage']],
    ['check-any-stage', ['planning-unknown-stage'], ['check-stage']],
    ['before-plan-rubbish', ['before-plan'], ['after-plan']],
    ['before-plan-list', ['before-plan'], ['after-plan']],
    ['after-plan-silent', ['after-plan'], ['before-plan']],
    ['around-never', ['around-stage'], ['on-event']],
    ['around-twice', ['around-stage'], ['on-event']],
    ['around-no-end', ['around-stage'], ['on-event']],
    ['around-more', ['around-stage'], ['on-event']],
    ['around-hang-after', ['around-stage'], ['on-event']],
    ['event-crash', ['on-event'], ['around-stage']],
    ['hooks-in-secret', ['undeclared-hooks'], ['describe']],
    ['versions-change', ['trainer-versions'], ['prepare-trainer']],
    ['trainer-estimate-rubbish', ['estimate-job'], ['trainer-resources']],
    ['prepare-nothing', ['prepare-trainer'], ['trainer-resources']],
    ['prepare-hang', ['prepare-trainer'], ['trainer-resources']],
    ['prepare-any-trainer', ['unknown-trainer'], ['prepare-trainer']],
    ['resolve-rubbish', ['resolve-launch'], ['launch']],
    ['launch-nothing', ['launch'], ['resolve-launch']],
    ['launch-tied', ['launch'], ['resolve-launch']],
    ['launch-bare', ['launch'], ['resolve-launch']],
    ['launch-any-launcher', ['unknown-launcher'], ['launch']],
    ['attach-never', ['launch'], ['resolve-launch']],
    ['terminate-idle', ['launch'], ['resolve-launch']],
    ['crash', ['run'], ['describe']],
    ['freeze', ['health-while-running'], ['describe']],
    ['ignore-cancel', ['cancel'], ['describe']],
    ['no-end', ['run'], ['unknown-stage']],
    ['two-ends', ['run'], ['unknown-stage']],
    ['undeclared-output', ['run'], ['unknown-stage']],
    ['made-up-output', ['run'], ['unknown-stage']],
    ['unknown-stage-runs', ['unknown-stage'], ['run']],
    ['fails-unforeseen', ['run', 'grade'], ['unknown-stage']],
    ['funnel-wrong', ['run'], ['unknown-stage']],
    ['funnel-wrong-to-host', ['run'], ['unknown-stage']],
    ['writes-into-input', ['run'], ['unknown-stage']],
    ['grades-shuffled', ['grade'], ['run', 'sink']],
    ['grades-silent', ['grade'], ['run', 'sink']],
    ['grades-unasked', ['grade'], ['run', 'sink']],
    ['opens-any-sink', ['unknown-sink'], ['sink']],
    ['report-relative', ['sink'], ['unknown-sink']],
    ['grader-estimate-rubbish', ['estimate-grader'], ['grade']],
    ['ignore-shutdown', ['shutdown'], ['sigterm', 'stdin']],
    ['ignore-stdin', ['stdin'], ['sigterm', 'shutdown']],
  ])('fails %s in %j, and not in %j', async (misbehavior, broken, whole) => {
    const { results, hasPassed } = await verify(misbehavior, [...broken, ...whole]);
    expect(hasPassed).toBe(false);
    expect(failedOf(results)).toEqual(broken);
    expect(results.find(({ status }) => status === 'failed')).toMatchObject(told[misbehavior] ?? {});
  });

  it('says of options that a check refuses what to do about it, and runs no stage with them', async () => {
    const { results } = await verify('check-never-right', ['check-stage', 'run']);
    expect(results).toMatchObject([
      { name: 'check-stage', status: 'passed' },
      {
        status: 'failed',
        expected: expect.stringContaining('give them `examples` or defaults that go together'),
        saw: expect.stringContaining('greets 1000 at most.'),
      },
    ]);
  });

  it('passes a stage or grader that says why it does not take what is made up, and says so', async () => {
    const { results } = await verify('fails-foreseen', ['run', 'run-again', 'grade']);
    expect(results).toMatchObject([
      { status: 'passed', saw: 'greet failed, so what it makes was not seen: There is nobody to greet.' },
      { status: 'passed' },
      { status: 'passed', saw: 'equal failed, so its grades were not seen: Grade: The umpire is out.' },
    ]);
  });

  it('refuses a check that there is not', async () => {
    await expect(verify('none', ['handshakes'])).rejects.toMatchObject({ code: 'check_unknown' });
  });
});

it.runIf(process.platform === 'linux')('holds none of its folders open when it is done', async () => {
  await verify('none', ['run']);
  const open = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(join('/proc/self/fd', fd));
    } catch {
      // It was that of the listing itself.
      return '';
    }
  });
  expect(open.filter((path) => path.includes('/staging/'))).toEqual([]);
});
