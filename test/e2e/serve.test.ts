import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ControlClient } from '../../core/control/control-client.js';
import type { UserError } from '../../core/errors.js';
import type { Event } from '../../core/events/catalogue.js';
import {
  curationRecipe,
  eventsIn,
  gradingPlugin,
  gradingRecipe,
  type RunningSimmer,
  simmer,
  startSimmer,
  trainingPlugins,
  trainingRecipe,
  workFolder,
} from './cli-process.js';

/** Starts `simmer serve` in the folder and waits until it says where. */
async function serve(cwd: string, ...args: string[]): Promise<RunningSimmer & { readonly address: string }> {
  const server = startSimmer(['serve', '--json', ...args], { cwd });
  const { address } = JSON.parse(await server.printed('\n')) as { readonly address: string };
  return { ...server, address };
}

async function end(server: RunningSimmer): Promise<void> {
  server.child.kill('SIGTERM');
  await server.ended;
}

/** What differs from run to run. */
function plain(text: string): string {
  return text
    .replaceAll(/(small|before|after)-\d{8}-\d{6}-[0-9a-f]{4}/g, '$1-RUN')
    .replaceAll(/\d+(\.\d+)?s\b/g, 'N s')
    .replaceAll(/^\d\d:\d\d/gm, 'T')
    .replaceAll(/\S*\/(\.simmer|other)\//g, 'HOME/');
}

/** Runs a command here, on the home `other`, and on the server, and gives both without what differs from run to run. */
async function hereAndThere(cwd: string, address: string, args: readonly string[]) {
  const here = await simmer(args, { cwd, env: { SIMMER_HOME: 'other' } });
  const there = await simmer(args, { cwd, env: { SIMMER_SERVER: address } });
  return [here, there].map((ended) => ({ ...ended, stdout: plain(ended.stdout) }));
}

it('the command line prints the same for a server as for this machine', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  await folder.write('wrong.yaml', curationRecipe.replace('heldout', 'heldut'));
  await folder.write('.gitignore', '');
  const server = await serve(cwd);
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  for (const args of [
    ['run', 'small.yaml'],
    ['run', 'small.yaml', '-p', 'count=299'],
    ['plan', 'small.yaml'],
    ['plan', 'small.yaml', '--until', 'split'],
    ['run', 'small.yaml', '-p', 'count=298', '--until', 'split'],
    ['validate', 'small.yaml'],
    ['validate', 'small.yaml', '--until', 'split'],
    ['validate', 'small.yaml', '--until', 'splt'],
    ['validate', 'wrong.yaml'],
    ['validate', 'wrong.yaml', '--json'],
    ['run', 'wrong.yaml'],
    ['watch', 'latest'],
    ['report', 'latest'],
    ['plugins'],
    ['plugins', '--json'],
    ['plugins', 'curation/load'],
    ['schema'],
    ['resume', 'latest'],
    ['watch', 'nobody'],
  ]) {
    const [here, there] = await hereAndThere(cwd, server.address, args);
    expect(there, args.join(' ')).toEqual(here);
  }
  const events = eventsIn((await simmer(['run', 'small.yaml', '-p', 'count=297', '--json'], remote)).stdout);
  expect(events.at(-1)!.type).toBe('run.completed');
  const watched = await simmer(['--server', server.address, 'watch', 'latest', '--json', '--from', '3'], { cwd });
  expect(eventsIn(watched.stdout)).toEqual(events.slice(2));
  expect((await simmer(['runs', '--json'], remote)).stdout).toContain(events[0]!.runId);
  await end(server);
}, 240_000);

it('a recipe of the server is run by its name, where there is no such file here', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'of-the-server'));
  await folder.write('of-the-server/shared.yaml', curationRecipe);
  const server = await serve(cwd, '--recipes', 'of-the-server');
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
  await end(server);
}, 60_000);

it('the rows and verdicts of runs are told by a server as by this machine', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  await folder.write('graded.mjs', gradingPlugin);
  await folder.write('graded.yaml', gradingRecipe);
  const recipes = [
    ['graded.yaml', '--set', 'name=before'],
    ['graded.yaml', '--set', 'name=after', '-p', 'verdict=wrong'],
    ['small.yaml'],
  ];
  for (const home of ['other', '.simmer']) {
    for (const args of recipes) expect((await simmer(['run', ...args, '--home', home], { cwd })).code).toBe(0);
  }
  // As on the machine of a server, where the client is not.
  for (const run of await readdir(join(cwd, '.simmer', 'runs')))
    await rm(join(cwd, '.simmer', 'runs', run, 'report.html'));
  const unknown = await simmer(['explain', 'small', 'how many', '--home', 'other'], { cwd });
  const row = /^ {2}([0-9a-f]{16}) {2}/m.exec(unknown.stderr)![1]!;
  const server = await serve(cwd);
  for (const [text, ...args] of [
    ['No stage dropped it', 'explain', 'small', row],
    ['"steps"', 'explain', 'small', row, '--json'],
    ['It stands in the question', 'explain', 'small', 'how many', '--json'],
    ['1 became wrong', 'eval', 'diff', 'before', 'after'],
    ['"changed"', 'eval', 'diff', 'before', 'after', '--json'],
    ['verdict=wrong', 'compare', 'before', 'after'],
    ['"nothing_to_compare"', 'compare', 'small', '--json'],
    ['"nothing_graded"', 'eval', 'diff', 'before', 'small', '--json'],
  ] as [string, ...string[]][]) {
    const [here, there] = await hereAndThere(cwd, server.address, args);
    expect(here!.stdout).toContain(text);
    expect({ ...there, stderr: plain(there!.stderr) }, args.join(' ')).toEqual({
      ...here,
      stderr: plain(here!.stderr),
    });
  }
  await end(server);
}, 120_000);

it('what runs made is listed and fetched from a server as on this machine', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  for (const home of ['other', '.simmer']) await simmer(['run', 'small.yaml', '--home', home], { cwd });
  const server = await serve(cwd);
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  for (const args of [
    ['artifacts', 'latest'],
    ['artifacts', 'latest', '--json'],
    ['artifacts', 'latest', '--get', 'split.trian'],
    ['artifacts', 'latest', '--output', 'x'],
    ['rows', 'latest', 'split.heldout', '--rows', '1,49,50'],
    ['rows', 'latest', 'split.heldout', '--json'],
    ['rows', 'latest', 'split.held'],
  ]) {
    const [here, there] = await hereAndThere(cwd, server.address, args);
    expect({ ...there, stderr: plain(there!.stderr) }, args.join(' ')).toEqual({
      ...here,
      stderr: plain(here!.stderr),
    });
  }
  expect((await simmer(['artifacts', 'latest'], remote)).stdout).toMatch(/^split\.train +dataset +1 +\S+ kB$/m);

  const fetched = await simmer(['artifacts', 'latest', '--get', 'split.train', '--output', 'there'], remote);
  expect([fetched.code, fetched.stdout]).toEqual([0, 'there\n']);
  await simmer(['artifacts', 'latest', '--get', 'split.train', '--output', 'here', '--home', 'other'], { cwd });
  const table = await readFile(join(cwd, 'there', 'data.parquet'));
  expect(table.equals(await readFile(join(cwd, 'here', 'data.parquet')))).toBe(true);
  const refused = await simmer(['artifacts', 'latest', '--get', 'split.train', '--output', 'there'], remote);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('error[output_exists]')]);

  const report = await simmer(['report', 'latest', '--output', 'report.html'], remote);
  expect(report).toMatchObject({ code: 0, stdout: 'report.html\n', stderr: '' });
  expect(await readFile(join(cwd, 'report.html'), 'utf8')).toContain('<html');
  // As where the server is on another machine: its path leads nowhere here.
  const { reportPath } = JSON.parse((await simmer(['report', 'latest', '--json'], remote)).stdout);
  await rm(reportPath);
  const told = await simmer(['resume', 'latest'], remote);
  expect(told.stderr).toMatch(
    /^The report is on the machine of unix:\S+ Fetch it with: simmer report small-\S+ --output /,
  );
  await end(server);
}, 120_000);

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
    const server = await serve(cwd, ...allowed);
    const { stderr, code } = await simmer(['--server', server.address, 'validate', 'asks.yaml'], { cwd });
    await end(server);
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
  const server = await serve(cwd);
  const remote = { cwd, env: { SIMMER_SERVER: server.address } };
  const run = startSimmer(['run', 'long.yaml'], remote);
  await run.printed('pool: started');
  run.child.kill('SIGINT');
  const { code, stdout } = await run.ended;
  expect(code).toBe(130);
  expect(stdout).toContain('simmer resume');
  const listed = JSON.parse((await simmer(['runs', '--json'], remote)).stdout) as { readonly status: string }[];
  expect(listed).toMatchObject([{ status: 'interrupted' }]);
  await end(server);
}, 60_000);

it('cancel stops a run on a server as on this machine, and says the same', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 3000000'));
  const server = await serve(cwd);
  const told = async (env: Readonly<Record<string, string>>) => {
    const run = startSimmer(['run', 'long.yaml'], { cwd, env });
    await run.printed('pool: started');
    const first = await simmer(['cancel', 'latest'], { cwd, env });
    const { code, stdout } = await run.ended;
    expect([code, stdout]).toEqual([130, expect.stringContaining('simmer resume')]);
    const again = await simmer(['cancel', 'small', '--json'], { cwd, env });
    expect(JSON.parse(again.stdout)).toMatchObject({ status: 'interrupted' });
    return [first, await simmer(['cancel', 'small'], { cwd, env })].map((ended) => ({
      ...ended,
      stdout: plain(ended.stdout),
    }));
  };
  const here = await told({ SIMMER_HOME: 'other' });
  expect(here.map(({ code, stdout }) => [code, stdout])).toEqual([
    [0, 'small-RUN is stopped; what is paid for is kept. Go on with: simmer resume small-RUN\n'],
    [0, 'small-RUN was stopped before. Go on with: simmer resume small-RUN\n'],
  ]);
  expect(await told({ SIMMER_SERVER: server.address })).toEqual(here);
  await end(server);
}, 120_000);

it('cancel frees the place in the queue that a killed client left, and leaves the server alone', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 3000000'));
  await folder.write('simmer.config.json', JSON.stringify({ resources: { cpus: 1 } }));
  const server = await serve(cwd);
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
  await end(server);
}, 120_000);

it('the tokens of a server are replaced while it runs, and a wrong file leaves those that it has', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  const tokens = ['the-first-token-of-all', 'the-second-token-of-all'];
  const write = (text: string) => writeFile(join(cwd, 'tokens'), text, { mode: 0o600 });
  await write(`${tokens[0]}\n`);
  const server = await serve(cwd, '--token-file', 'tokens');
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
  await expect.poll(codes, { timeout: 30_000 }).toEqual(['ok', 'ok']);
  const refused = new Promise<void>((resolve) => {
    server.child.stderr!.on('data', (text: string) => text.includes('has no token') && resolve());
  });
  await write('# nobody\n');
  await refused;
  expect(await codes()).toEqual(['ok', 'ok']);
  await write(`${tokens[1]}\n`);
  await expect.poll(codes, { timeout: 30_000 }).toEqual(['unauthenticated', 'ok']);
  await end(server);
}, 120_000);

it('a client follows its run over a restart of its server, as if nothing was', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 60000'));
  const stopped = await serve(cwd);
  const client = startSimmer(['run', 'long.yaml'], { cwd, env: { SIMMER_SERVER: stopped.address } });
  await client.printed('pool: started');
  await end(stopped);
  const server = await serve(cwd);
  const { code, stdout, stderr } = await client.ended;
  expect([code, stdout]).toEqual([0, expect.stringMatching(/the server was stopped(.|\n)*resumed(.|\n)*small done/)]);
  expect(plain(stderr)).toContain('The server was stopped: small-RUN goes on when it is started again.');
  await end(server);
}, 120_000);

it('a server that is killed with ten runs in flight loses no event and no run', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await mkdir(join(cwd, 'recipes'));
  await folder.write('recipes/training.yaml', trainingRecipe);
  for (const [name, text] of Object.entries(trainingPlugins)) await folder.write(`recipes/${name}`, text);
  await folder.write('simmer.config.json', JSON.stringify({ resources: { cpus: 16 } }));
  const killed = await serve(cwd, '--recipes', 'recipes');
  using client = await ControlClient.open({ address: killed.address });
  const start = async (index: number) => {
    const params = { stepMilliseconds: '40', steps: String(500 + index) };
    const recipe = { source: { $case: 'name', value: 'training' } as const, fileName: '', params, overrides: {} };
    return (await client.createRun({ requestId: randomUUID(), recipe })).run!;
  };
  const runs = await Promise.all(Array.from({ length: 10 }, (_, index) => start(index)));
  const received = runs.map((): Event[] => []);
  let training = 0;
  // Long enough that the last one trains before the first one ends, also on a busy machine.
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
  const server = await serve(cwd, '--recipes', 'recipes');
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
  await end(server);
}, 180_000);

it('a server is not stopped by the signal that cancels a run', async () => {
  await using folder = await workFolder();
  const server = await serve(folder.path);
  server.child.kill('SIGUSR2');
  const { code } = await simmer(['runs'], { cwd: folder.path, env: { SIMMER_SERVER: server.address } });
  expect(code).toBe(0);
  await end(server);
});
