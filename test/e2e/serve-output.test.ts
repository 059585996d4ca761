import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  curationRecipe,
  eventsIn,
  gradingPlugin,
  gradingRecipe,
  simmer,
  startSimmer,
  workFolder,
} from './cli-process.js';
import { hereAndThere, plain, serve } from './serving.js';

it('the command line prints the same for a server as for this machine', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  await folder.write('wrong.yaml', curationRecipe.replace('heldout', 'heldut'));
  await folder.write('.gitignore', '');
  await using server = await serve(cwd);
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
    ['runs'],
    ['remove', 'latest', '--dry-run'],
    ['remove', '--older-than', '30d'],
    ['remove', 'latest'],
  ]) {
    // Two runs of one recipe may differ by an event of progress: the server's own are listed by both.
    const home = args[0] === 'runs' ? '.simmer' : 'other';
    const [here, there] = await hereAndThere(cwd, server.address, args, home);
    expect(there, args.join(' ')).toEqual(here);
  }
  const events = eventsIn((await simmer(['run', 'small.yaml', '-p', 'count=297', '--json'], remote)).stdout);
  expect(events.at(-1)!.type).toBe('run.completed');
  const watched = await simmer(['--server', server.address, 'watch', 'latest', '--json', '--from', '3'], { cwd });
  expect(eventsIn(watched.stdout)).toEqual(events.slice(2));
  expect((await simmer(['runs', '--json'], remote)).stdout).toContain(events[0]!.runId);
});

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
  await using server = await serve(cwd);
  for (const [text, ...args] of [
    ['No stage dropped it', 'explain', 'small', row],
    ['"steps"', 'explain', 'small', row, '--json'],
    ['It stands in these rows', 'explain', 'small', 'how many', '--json'],
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
});

it('what runs made is listed and fetched from a server as on this machine', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  for (const home of ['other', '.simmer']) await simmer(['run', 'small.yaml', '--home', home], { cwd });
  await using server = await serve(cwd);
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

  const withoutTemporary = { cwd, env: { ...remote.env, TMPDIR: join(cwd, 'nowhere') } };
  expect(await simmer(['rows', 'latest', 'split.heldout'], withoutTemporary)).toMatchObject({ code: 0, stderr: '' });

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
});

it('cancel stops a run on a server as on this machine, and says the same', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('long.yaml', curationRecipe.replace('count: 300', 'count: 3000000'));
  await using server = await serve(cwd);
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
});
