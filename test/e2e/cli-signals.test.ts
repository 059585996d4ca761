import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsIn, shell, simmer, startSimmer, trainingPlugins, trainingRecipe, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('training.yaml', trainingRecipe);
  for (const [name, text] of Object.entries(trainingPlugins)) await folder.write(name, text);
});
afterAll(() => folder[Symbol.asyncDispose]());

/** A stage that says more than a pipe holds, and than is read of a log at once. */
const talkativePlugin = `
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
export default definePlugin({
  name: 'talkative',
  version: '1.0.0',
  apiVersion,
  stages: {
    talk: defineStage({
      description: 'Talks.',
      options: z.strictObject({}),
      inputs: {},
      outputs: {},
      async run({ log }) {
        for (let line = 0; line < 2000; line++) log.info('line ' + line + ' '.repeat(300) + '.');
        return {};
      },
    }),
  },
});
`;
const talkativeRecipe = 'name: talkative\nplugins: [./talkative.mjs]\nstages:\n  talk: { uses: talkative/talk }\n';

/** Starts a run in a home of its own, whose training waits behind its first checkpoint until it is stopped or taken up. */
const training = (home: string) => started(home, '"step":6', 'hold=6');

/** Starts a run in a home of its own, and waits until it prints the text. */
async function started(home: string, text: string, ...params: readonly string[]) {
  const given = params.flatMap((param) => ['-p', param]);
  const args = ['run', 'training.yaml', '--home', home, '--json', ...given];
  const run = startSimmer(args, { cwd });
  await run.printed(text);
  return run;
}

describe('a run that is told to stop', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('by %s stops gracefully, and resume goes on', async (signal) => {
    const run = await training(signal);
    run.child.kill(signal);
    const { code, stdout, stderr } = await run.ended;
    expect(code).toBe(130);
    expect(eventsIn(stdout).at(-1)?.type).toBe('run.interrupted');
    const runId = eventsIn(stdout)[0]?.runId;
    expect(stderr).toContain('stopping');
    expect(stderr).toContain(`simmer --home ${signal} resume ${runId}`);
    const last = eventsIn(stdout).at(-1)?.sequence ?? 0;

    const resumed = await simmer(['resume', 'latest', '--home', signal, '--json'], { cwd });
    expect(resumed.code).toBe(0);
    const events = eventsIn(resumed.stdout);
    expect(events[0]?.sequence).toBe(last + 1);
    expect(events.at(-1)?.type).toBe('run.completed');
    expect(events.filter((event) => event.type === 'stage.started').map((event) => event.stage)).toEqual(['tuned']);
    const started = events.find((event) => event.type === 'training.started');
    if (started?.type !== 'training.started') throw new Error('It did not train on.');
    expect(started.data.resumedAfterStep).toBe(6);
  });

  it('takes two signals at once for one, as npm sends them', async () => {
    const run = await training('twice');
    run.child.kill('SIGINT');
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    expect(code).toBe(130);
    expect(eventsIn(stdout).at(-1)?.type).toBe('run.interrupted');
  });

  it('a second time, later, ends at once', async () => {
    await folder.write('hanging.yaml', trainingRecipe.replace('misbehavior: {', 'misbehavior: { hangAtStep: 7,'));
    const run = startSimmer(['run', 'hanging.yaml', '--home', 'hanging', '--json'], { cwd });
    await run.printed('"step":6');
    run.child.kill('SIGINT');
    const stopping = new Promise<void>((resolve) => run.child.stderr?.once('data', () => resolve()));
    await stopping;
    const again = setInterval(() => run.child.kill('SIGINT'), 500);
    const { code, stdout } = await run.ended;
    clearInterval(again);
    expect(code).toBe(130);
    const events = eventsIn(stdout);
    expect(
      events.some(
        (event) => event.type.startsWith('run.') && event.type !== 'run.created' && event.type !== 'run.started',
      ),
    ).toBe(false);
    // Its lease would end it in a minute; no test leaves it behind.
    for (const event of events) if (event.type === 'trainer.started') process.kill(event.data.pid, 'SIGKILL');
  });
});

describe('while a run goes on', () => {
  it('a second writer is refused with exit code 3, and the name of the first', async () => {
    const run = await training('locked');
    const second = await simmer(['resume', 'latest', '--home', 'locked'], { cwd });
    expect(second.code).toBe(3);
    expect(second.stderr).toContain('error[run_locked]');
    expect(second.stderr).toContain(`process ${run.child.pid}`);
    run.child.kill('SIGINT');
    await run.ended;
  });

  it('watch follows it to its end, without a gap', async () => {
    const run = await started('watched', '"checkpoint.saved"', 'stepMilliseconds=100');
    const watching = simmer(['watch', 'latest', '--home', 'watched', '--json'], { cwd });
    const [told, watched] = await Promise.all([run.ended, watching]);
    expect(watched.code).toBe(0);
    expect(watched.stdout).toBe(told.stdout);
  });

  it('watch tells all of it to a reader that is slow, also when it has ended', async () => {
    await folder.write('talkative.mjs', talkativePlugin);
    await folder.write('talkative.yaml', talkativeRecipe);
    const run = await simmer(['run', 'talkative.yaml', '--home', 'slow', '--json'], { cwd });
    // From its first line on it waits longer than a run that nobody writes is watched.
    const reader = `IFS= read -r first; sleep 4; printf '%s\\n' "$first"; cat`;
    const watched = await shell(`simmer watch latest --home slow --json | (${reader})`, { cwd });
    expect(watched).toMatchObject({ code: 0, stderr: '' });
    expect(watched.stdout).toBe(run.stdout);
  });

  it('watch lets go of it on Ctrl-C, and it goes on', async () => {
    // So long that it goes on when the watch has begun, also on a busy machine.
    const run = await started('let-go', '"checkpoint.saved"', 'stepMilliseconds=100', 'steps=120');
    const watching = startSimmer(['watch', 'latest', '--home', 'let-go'], { cwd });
    await watching.printed('started as run');
    watching.child.kill('SIGINT');
    const { code, stderr } = await watching.ended;
    expect([code, stderr]).toEqual([130, expect.stringContaining('The run goes on.')]);
    expect((await run.ended).code).toBe(0);
  });

  it('cancel stops it with a checkpoint, however often it is asked', async () => {
    const run = await training('canceled');
    const cancel = () => simmer(['cancel', 'latest', '--home', 'canceled'], { cwd });
    const answers = await Promise.all([cancel(), cancel(), cancel()]);
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0]);
    const { code, stdout } = await run.ended;
    expect(code).toBe(130);
    const events = eventsIn(stdout);
    expect(events.at(-1)).toMatchObject({ type: 'run.interrupted', data: { reason: 'simmer cancel' } });
    expect(events.filter(({ type }) => type === 'checkpoint.saved').length).toBeGreaterThan(0);
  });

  it('cancel signals no process that has the pid of one that is gone', async () => {
    const run = await training('reused');
    const [{ runFolder }] = JSON.parse((await simmer(['runs', '--json', '--home', 'reused'], { cwd })).stdout);
    const file = join(runFolder, 'owner.json');
    const owner = JSON.parse(await readFile(file, 'utf8'));
    const other = { ...owner, processStartTime: 'another process' };
    await writeFile(file, JSON.stringify(other));
    const { code, stderr } = await simmer(['cancel', 'latest', '--home', 'reused'], { cwd });
    expect([code, stderr]).toEqual([3, expect.stringContaining('error[run_locked]')]);
    expect(run.child.exitCode).toBeNull();
    run.child.kill('SIGINT');
    await run.ended;
  });

  it('cancel notes a run as stopped whose core was killed', async () => {
    const run = await training('abandoned');
    run.child.kill('SIGKILL');
    await run.ended;
    const { code, stdout } = await simmer(['cancel', 'latest', '--home', 'abandoned'], { cwd });
    expect([code, stdout]).toEqual([0, expect.stringContaining('it was killed. It counts as stopped now.')]);
    const runs = JSON.parse((await simmer(['runs', '--json', '--home', 'abandoned'], { cwd })).stdout);
    expect(runs).toMatchObject([{ status: 'interrupted' }]);
    expect((await simmer(['resume', 'latest', '--home', 'abandoned'], { cwd })).code).toBe(0);
  });

  it('watch notices that its core was killed, and says how to go on', async () => {
    const run = await training('killed');
    const watching = simmer(['watch', 'latest', '--home', 'killed', '--json'], { cwd });
    run.child.kill('SIGKILL');
    await run.ended;
    const { code, stderr } = await watching;
    expect(code).toBe(4);
    expect(stderr).toContain('error[run_abandoned]');
    expect(stderr).toMatch(/Go on with: simmer --home killed resume training-\S+/);
    const resumed = await simmer(['resume', 'latest', '--home', 'killed', '--json'], { cwd });
    expect(resumed.code).toBe(0);
    expect(eventsIn(resumed.stdout).at(-1)?.type).toBe('run.completed');
  });
});

describe('a run that fails', () => {
  it('exits with 4 and tells the error on stderr, as watch does after it', async () => {
    const failing = trainingRecipe.replace('misbehavior: {', 'misbehavior: { failAtStep: 7,');
    await folder.write('failing.yaml', failing);
    const { code, stdout, stderr } = await simmer(['run', 'failing.yaml', '--home', 'failing'], { cwd });
    expect(code).toBe(4);
    expect(stderr).toContain('error[training_failed]');
    expect(stderr).toContain('tuned');
    expect(stderr).not.toMatch(/\n +at /);
    expect(stdout).toContain('failed after');
    expect((await simmer(['watch', 'latest', '--home', 'failing', '--json'], { cwd })).code).toBe(4);
  });
});
