import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ControlClient } from '../../core/control/control-client.js';
import type { UserError } from '../../core/errors.js';
import type { Event } from '../../core/events/catalogue.js';
import {
  curationRecipe,
  eventsIn,
  simmer,
  startSimmer,
  trainingPlugins,
  trainingRecipe,
  workFolder,
} from './cli-process.js';
import { plain, serve } from './serving.js';

it('a recipe of the server is run by its name, where there is no such file here', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'of-the-server'));
  await folder.write('of-the-server/shared.yaml', curationRecipe);
  await using server = await serve(cwd, '--recipes', 'of-the-server');
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  const plan = await simmer(['plan', 'shared', '-p', 'count=301', '--json'], remote);
  expect(JSON.parse(plan.stdout)).toMatchObject({ plan: { recipe: 'small', params: { count: 301 } } });
  expect(await simmer(['run', 'shared', '-p', 'count=301'], remote)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('small done'),
  });
  expect(await simmer(['validate', 'shred'], remote)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/error\[recipe_not_found\].*"shred"\.\nhint: It has .*quickstart.*shared/),
  });
});

it('the owner of a server says what recipes of clients may have it run and send', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write(
    'asks.yaml',
    `name: asks
trainers: { t: { uses: torch-trainer/torch, with: { device: cpu }, launcher: { uses: launchers/torchrun, with: { hosts: [b] } } } }
stages:
  pool: { uses: curation/generate-problems, with: { count: 3 } }
  asked:
    uses: curation/distill
    with: { dataset: "\${{ stages.pool.dataset }}", url: "https://a.example/v1", apiKeyVariable: MYAUTH, model: m }
`,
  );
  const validate = async (...allowed: string[]) => {
    await using server = await serve(cwd, ...allowed);
    const { stderr, code } = await simmer(['--server', server.address, 'validate', 'asks.yaml'], { cwd });
    return { stderr, code };
  };
  const refused = await validate();
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('asks.yaml:2:');
  expect(refused.stderr).toContain('--allow-option launchers/torchrun.hosts');
  expect(refused.stderr).toContain('asks.yaml:7:');
  expect(refused.stderr).toContain('--allow-secret MYAUTH=https://a.example/v1');
  const allowed = ['--allow-option', 'launchers/torchrun.hosts', '--allow-secret', 'MYAUTH=https://a.example'];
  expect(await validate(...allowed)).toEqual({ stderr: '', code: 0 });
});

it('Ctrl-C stops a run on a server, and resume goes on', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'recipes'));
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 3000000'));
  await using server = await serve(cwd);
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  const run = startSimmer(['run', 'long.yaml'], remote);
  await run.printed('pool: started');
  run.child.kill('SIGINT');
  const { code, stdout } = await run.ended;
  expect(code).toBe(130);
  expect(stdout).toContain('simmer resume');
  const listed = JSON.parse((await simmer(['runs', '--json'], remote)).stdout) as { readonly status: string }[];
  expect(listed).toMatchObject([{ status: 'interrupted' }]);
});

it('cancel frees the place in the queue that a killed client left, and leaves the server alone', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 3000000'));
  await folder.write('simmer.config.json', JSON.stringify({ resources: { cpus: 1 } }));
  await using server = await serve(cwd);
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  const first = startSimmer(['run', 'long.yaml'], remote);
  await first.printed('pool: started');
  const second = startSimmer(['run', 'long.yaml', '-p', 'count=2999999'], remote);
  using client = await ControlClient.open({ address: server.address });
  await expect.poll(async () => (await client.describeServer()).queuedRunIds.length).toBe(1);
  const { queuedRunIds, runningRunIds } = await client.describeServer();
  second.child.kill('SIGKILL');
  for (const runId of [queuedRunIds[0]!, runningRunIds[0]!]) {
    const { code, stderr } = await simmer(['cancel', runId], { cwd });
    expect([code, stderr]).toEqual([3, expect.stringContaining('error[run_of_server]')]);
  }
  const canceled = await simmer(['cancel', queuedRunIds[0]!], remote);
  expect([canceled.code, plain(canceled.stdout)]).toEqual([
    0,
    'small-RUN is out of the queue. Go on with: simmer resume small-RUN\n',
  ]);
  expect(await client.describeServer()).toMatchObject({ queuedRunIds: [], runningRunIds });
  expect((await simmer(['cancel', runningRunIds[0]!], remote)).code).toBe(0);
  expect((await first.ended).code).toBe(130);
});

it('the tokens of a server are replaced while it runs, and a wrong file leaves those that it has', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  const tokens = ['the-first-token-of-all', 'the-second-token-of-all'];
  const write = (text: string) => writeFile(join(cwd, 'tokens'), text, { mode: 0o600 });
  await write(`${tokens[0]}\n`);
  await using server = await serve(cwd, '--token-file', 'tokens');
  const codes = () =>
    Promise.all(
      tokens.map(async (token) => {
        using client = await ControlClient.open({ address: server.address, token });
        return client.describeServer().then(
          () => 'ok',
          (error: UserError) => error.code,
        );
      }),
    );
  expect(await codes()).toEqual(['ok', 'unauthenticated']);
  await write(`${tokens.join('\n')}\n`);
  await expect.poll(codes).toEqual(['ok', 'ok']);
  const refused = new Promise<void>((resolve) => {
    server.child.stderr!.on('data', (text: string) => text.includes('has no token') && resolve());
  });
  await write('# nobody\n');
  await refused;
  expect(await codes()).toEqual(['ok', 'ok']);
  await write(`${tokens[1]}\n`);
  await expect.poll(codes).toEqual(['unauthenticated', 'ok']);
});

it('a client follows its run over a restart of its server, as if nothing was', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 60000'));
  await using stopped = await serve(cwd);
  const client = startSimmer(['run', 'long.yaml'], { cwd, env: { SIMMER_SERVER: stopped.address } });
  await client.printed('pool: started');
  await stopped.stop();
  await using _server = await serve(cwd);
  const { code, stdout, stderr } = await client.ended;
  expect([code, stdout]).toEqual([0, expect.stringMatching(/the server was stopped(.|\n)*resumed(.|\n)*small done/)]);
  expect(plain(stderr)).toContain('The server was stopped: small-RUN goes on when it is started again.');
});

it('a server that is killed with ten runs in flight loses no event and no run', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'recipes'));
  await folder.write('recipes/training.yaml', trainingRecipe);
  for (const [name, text] of Object.entries(trainingPlugins)) await folder.write(`recipes/${name}`, text);
  await folder.write('simmer.config.json', JSON.stringify({ resources: { cpus: 16 } }));
  await using killed = await serve(cwd, '--recipes', 'recipes');
  using client = await ControlClient.open({ address: killed.address });
  const start = async (index: number) => {
    // It waits for the next server where it would end before the last one trains.
    const params = { stepMilliseconds: '40', steps: String(100 + index), hold: '60' };
    const recipe = { source: { $case: 'name', value: 'training' } as const, fileName: '', params, overrides: {} };
    return (await client.createRun({ requestId: randomUUID(), recipe })).run!;
  };
  const runs = await Promise.all(Array.from({ length: 10 }, (_, index) => start(index)));
  const received = runs.map((): Event[] => []);
  let training = 0;
  const allTrain = new Promise<void>((resolve) => {
    for (const [index, { runId }] of runs.entries()) {
      void (async () => {
        for await (const event of client.watch(runId)) {
          received[index]!.push(event);
          if (event.type === 'step.logged' && event.data.step === 3 && ++training === runs.length) resolve();
        }
        received[index]!.push('ended' as never);
      })();
    }
  });
  await allTrain;
  killed.child.kill('SIGKILL');
  await killed.ended;
  const before = received.map((events) => events.filter((event) => typeof event === 'object').length);

  const startedAt = performance.now();
  await using server = await serve(cwd, '--recipes', 'recipes');
  using another = await ControlClient.open({ address: server.address });
  expect((await another.describeServer()).home).toContain('.simmer');
  const seconds = (performance.now() - startedAt) / 1000;
  await expect
    .poll(() => received.every((events) => (events.at(-1) as unknown) === 'ended'), { timeout: 90_000 })
    .toBe(true);
  for (const [index, { runId, folder: runFolder }] of runs.entries()) {
    const events = received[index]!.slice(0, -1);
    expect(events.length).toBeGreaterThan(before[index]!);
    expect(events).toEqual(eventsIn(await readFile(join(runFolder, 'events.jsonl'), 'utf8')));
    expect(events.at(-1), runId).toMatchObject({ type: 'run.completed' });
    expect(events.filter((event) => event.type === 'trainer.attached').length, runId).toBe(1);
  }
  console.log(`It served again after ${seconds.toFixed(2)} s.`);
});

it('a server is not stopped by the signal that cancels a run', async () => {
  await using folder = await workFolder();
  await using server = await serve(folder.path);
  server.child.kill('SIGUSR2');
  const { code } = await simmer(['runs'], { cwd: folder.path, env: { SIMMER_SERVER: server.address } });
  expect(code).toBe(0);
});
