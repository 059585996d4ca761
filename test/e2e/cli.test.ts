import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curationRecipe, eventsIn, onTerminal, shell, simmer, workFolder } from './cli-process.js';

const commands = [
  'run',
  'resume',
  'plan',
  'validate',
  'runs',
  'watch',
  'cancel',
  'report',
  'artifacts',
  'remove',
  'explain',
  'plugins',
  'schema',
  'doctor',
  'inspect',
] as const;

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;
/** A run of `small.yaml` in the home `made`, as it was told to programs. */
let made: Awaited<ReturnType<typeof simmer>>;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  await folder.write('bad.yaml', 'name: bad\nseeds: 7\nstages:\n  pool: { uses: curation/generate-problem }\n');
  made = await simmer(['run', 'small.yaml', '--home', 'made', '--json'], { cwd });
});
afterAll(() => folder[Symbol.asyncDispose]());

describe('simmer --help', () => {
  it('lists every command, examples and the exit codes, and is what no command at all prints', async () => {
    const help = await simmer(['--help'], { cwd });
    const { code, stdout, stderr } = help;
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(stdout).toContain('Examples:');
    expect(stdout).toMatch(/130 +stopped/);
    expect(await simmer([], { cwd })).toEqual(help);
  });

  it('says what a command of a group does', async () => {
    const { code, stdout } = await simmer(['help', 'eval', 'diff'], { cwd });
    expect([code, stdout.split('\n')[0]]).toEqual([0, expect.stringContaining('Usage: simmer eval diff [options]')]);
    expect(stdout).toEqual((await simmer(['eval', 'diff', '--help'], { cwd })).stdout);
  });
});

describe('wrong usage', () => {
  it.each([
    ['an unknown command', ['runn'], "unknown command 'runn'"],
    ['help for an unknown command', ['help', 'plugin', 'nwe'], "unknown command 'nwe'"],
    ['an unknown option', ['run', '--jsn'], 'Did you mean --json?'],
    ['a missing argument', ['validate'], "missing required argument 'recipe'"],
    ['a parameter without a value', ['run', 'small.yaml', '-p', 'count'], 'NAME=VALUE'],
    ['a sequence that is none', ['watch', 'latest', '--from', 'x'], 'whole number'],
    ['a param of a run that was begun', ['resume', 'latest', '-p', 'count=1'], 'keeps its recipe, but for its budget'],
    ['a run that is not there', ['resume', 'nope'], 'error[run_not_found]'],
    ['a recipe that is not there', ['plan', 'nope.yaml'], 'error[file_missing]'],
  ])('%s exits with 2 and says so on stderr alone', async (_, args, text) => {
    const { code, stdout, stderr } = await simmer(args, { cwd });
    expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/\n +at /);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

describe('--home', () => {
  it('is taken before the command and behind it', async () => {
    const before = await simmer(['--home', 'placed', 'runs'], { cwd });
    expect(before.stdout).toContain('No runs in placed.');
    expect(await simmer(['runs', '--home', 'placed'], { cwd })).toEqual(before);
  });

  it('before a command lets a stream of events be one, and an error be no part of it', async () => {
    const { code, stdout } = await simmer(['--home', 'placed', 'run', 'nope.yaml', '--json'], { cwd });
    expect([code, stdout]).toEqual([2, '']);
  });

  it('is refused where there is no home to look into', async () => {
    const { code, stderr } = await simmer(['--home', 'placed', 'plugins'], { cwd });
    expect([code, stderr.split('\n')[0]]).toEqual([2, "error[usage]: unknown option '--home'"]);
  });
});

describe('a command that acts on this machine', () => {
  const address = 'unix:/nowhere/control.sock';
  const refusal = (command: string) => `error[not_on_a_server]: \`simmer ${command}\` acts on this machine`;

  it.each([
    ['inspect', ['inspect', 'small.yaml', '--stage', 'tuned']],
    ['doctor', ['doctor']],
    ['plan --calibration', ['plan', '--calibration']],
  ])('refuses a server, however it is named: %s', async (command, args) => {
    for (const [given, env] of [
      [['--server', address, ...args], {}],
      [args, { SIMMER_SERVER: address }],
    ] as const) {
      const { code, stdout, stderr } = await simmer(given, { cwd, env });
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(refusal(command));
      expect(stderr).toContain("hint: Run it on the server's machine");
    }
  });

  it.each([
    ['serve', ['serve']],
    ['eval metrics', ['eval', 'metrics', 'runs.csv']],
    ['plugin new', ['plugin', 'new', 'mine']],
    ['plugin verify', ['plugin', 'verify', '.']],
    ['trainer verify', ['trainer', 'verify', '--', 'true']],
  ])('and looks into no home refuses a server that is named for it: %s', async (command, args) => {
    const { code, stdout, stderr } = await simmer(['--server', address, ...args], { cwd });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(refusal(command));
  });
});

describe('a bad recipe', () => {
  it.each(['run', 'plan', 'validate'])(
    'makes %s list every problem with its place, without colour to a pipe, exit with 2, and make no run',
    async (command) => {
      const more = command === 'run' ? ['--json'] : [];
      const { code, stdout, stderr } = await simmer([command, 'bad.yaml', '--home', 'untouched', ...more], { cwd });
      expect(code).toBe(2);
      expect(stdout).toBe('');
      expect(stderr.split('\n').slice(0, 4)).toEqual([
        'error[invalid_recipe]: bad.yaml has 2 problems.',
        'bad.yaml:2:1: Unknown key "seeds" in the file.',
        ' 2 | seeds: 7',
        '   | ^',
      ]);
      expect(stderr).toContain('bad.yaml:4:17: ');
      expect(stderr).toContain('Did you mean "curation/generate-problems"?');
      expect(stderr).not.toContain('\u001b');
      expect(await readdir(cwd)).not.toContain('untouched');
    },
  );

  it('is described to programs on stdout', async () => {
    const { code, stdout } = await simmer(['validate', 'bad.yaml', '--json'], { cwd });
    const { error } = JSON.parse(stdout);
    expect(code).toBe(2);
    expect(error.code).toBe('invalid_recipe');
    expect(error.problems.map((problem: { code: string }) => problem.code)).toEqual(['unknown_key', 'unknown_stage']);
  });
});

describe('colour', () => {
  it('is written where FORCE_COLOR asks for it, in help too', async () => {
    const env = { FORCE_COLOR: '1' };
    expect((await simmer(['validate', 'bad.yaml'], { cwd, env })).stderr).toContain('\u001b[31m');
    expect((await simmer(['--help'], { cwd, env })).stdout).toContain('\u001b[1m');
  });
});

describe('a run', () => {
  it('tells people what happens in plain lines, where NO_COLOR is set, too, and where the report is', async () => {
    const env = { NO_COLOR: '1' };
    const { code, stdout, stderr } = await simmer(['run', 'small.yaml', '--home', 'plain'], { cwd, env });
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/^00:00 {2}small started as run small-/);
    expect(stdout).toMatch(/split: done in .*300 → 250 rows/);
    expect(stdout).toMatch(/✔ small done in .*: 3 stages/);
    const report = /report {2}(.*)/.exec(stdout)?.[1] ?? '';
    expect(report).toContain(join('plain', 'runs'));
  });

  it('with --json writes events to stdout and nothing else, run.completed last', () => {
    const { code, stdout, stderr } = made;
    expect(code).toBe(0);
    expect(stderr).toBe('');
    const events = eventsIn(stdout);
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    expect(events[0]?.type).toBe('run.created');
    const last = events.at(-1);
    if (last?.type !== 'run.completed') throw new Error(`The last event is ${last?.type}.`);
    expect(last.data.runId).toBe(last.runId);
    expect(last.data.reportPath).toContain('report.html');
    expect(Object.keys(last.data.outputs)).toContain('formatted.dataset');
    expect(last.data.metrics).toEqual({});
  });

  it('that is run again does no work, in three seconds of a processor', async () => {
    const again = "TIMEFORMAT='%U %S'; time simmer run small.yaml --home made --json";
    const { stdout, stderr } = await shell(again, { cwd });
    const [user, system] = stderr.trim().split(' ').map(Number);
    expect(user! + system!).toBeLessThan(3);
    const types = eventsIn(stdout).map((event) => event.type);
    expect(types.filter((type) => type === 'stage.reused')).toHaveLength(3);
    expect(types).not.toContain('stage.started');
  });

  it('up to a stage makes what that needs, and a whole run goes on from there', async () => {
    const home = ['--home', 'until', '--json'];
    const until = await simmer(['run', 'small.yaml', '--until', 'split', ...home], { cwd });
    expect(Object.keys((eventsIn(until.stdout).at(-1)!.data as { outputs: object }).outputs)).toEqual([
      'pool.dataset',
      'split.train',
      'split.heldout',
    ]);
    const resumed = await simmer(['resume', 'latest', ...home], { cwd });
    expect(eventsIn(resumed.stdout).map(({ type }) => type)).toEqual(['run.completed']);
    const events = eventsIn((await simmer(['run', 'small.yaml', ...home], { cwd })).stdout);
    const of = (type: string) => events.filter((event) => event.type === type).map(({ stage }) => stage);
    expect([of('stage.reused'), of('stage.started')]).toEqual([['pool', 'split'], ['formatted']]);
  });

  it('is listed, watched and reported by its id, the beginning of it, or as the latest', async () => {
    const { runId } = eventsIn(made.stdout)[0]!;
    const { stdout } = await simmer(['runs', '--home', 'made', '--json'], { cwd });
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ runId, status: 'completed' }));
    expect((await simmer(['runs', '--home', 'made'], { cwd })).stdout).toContain(runId);
    const all = await simmer(['watch', runId, '--home', 'made', '--json'], { cwd });
    const late = await simmer(['watch', runId.slice(0, -1), '--home', 'made', '--json', '--from', '5'], { cwd });
    expect(all).toMatchObject({ code: 0, stdout: made.stdout });
    expect(eventsIn(late.stdout)).toEqual(eventsIn(made.stdout).slice(4));
    const report = await simmer(['report', 'latest', '--home', 'made'], { cwd });
    expect(report.stdout.trim()).toMatch(/report\.html$/);
    const resumed = await simmer(['resume', 'latest', '--home', 'made', '--json'], { cwd });
    expect(eventsIn(resumed.stdout).map((event) => event.type)).toEqual(['run.completed']);
  });
});

describe('a run that failed', () => {
  it('says so to who watches it, also from behind its end', async () => {
    const home = ['--home', 'failed', '--json'];
    await simmer(['run', 'small.yaml', ...home], { cwd });
    const [{ runFolder, events }] = JSON.parse((await simmer(['runs', ...home], { cwd })).stdout);
    const log = join(runFolder, 'events.jsonl');
    const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
    const data = { error: { code: 'broken', message: 'It broke.', kind: 'runFailed' } };
    lines.push(JSON.stringify({ ...JSON.parse(lines.pop()!), type: 'run.failed', data }));
    await writeFile(log, `${lines.join('\n')}\n`);
    for (const from of [events, events + 1, events + 500]) {
      const { code, stdout, stderr } = await simmer(['watch', 'latest', '--from', String(from), ...home], { cwd });
      expect([code, eventsIn(stdout).map(({ type }) => type)]).toEqual([4, from === events ? ['run.failed'] : []]);
      expect(stderr).toContain('error[broken]: It broke.');
    }
  });
});

describe('a run on a terminal', () => {
  it('is drawn over itself, and leaves stages, summary and the cursor', async () => {
    const { code, stdout } = await onTerminal(
      ['run', 'small.yaml', '--home', 'terminal', '-p', 'count=3000'],
      { columns: 90, rows: 20 },
      { cwd },
    );
    expect(code).toBe(0);
    expect(stdout.indexOf('\u001b[?25l')).toBeGreaterThan(-1);
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
    expect(stdout).toMatch(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/);
    const left = stripVTControlCharacters(stdout.slice(stdout.lastIndexOf('\u001b[?2026l'))).replaceAll('\r', '');
    expect(left).toMatch(/✔ pool +3,000 rows/);
    expect(left).toMatch(/✔ formatted/);
    expect(left).toMatch(/✔ small done in .*: 3 stages/);
  });

  it.each([
    ['without a recipe', ['run', 'none.yaml']],
    ['with an option of another form', ['inspect', 'small.yaml', '--stage', 'a', '--rows', 'x']],
  ])('that cannot start, %s, breaks no word of what is wrong', async (_, command) => {
    const { code, stdout } = await onTerminal(command, { columns: 60, rows: 20 }, { cwd });
    expect(code).toBe(2);
    const lines = stripVTControlCharacters(stdout).trimEnd().split(/\r?\n/);
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.join(' ')).toMatch(/^error\[(file_missing|usage)\]:/);
    for (const line of lines.filter((one) => one.trim().includes(' '))) expect(line.length).toBeLessThanOrEqual(60);
  });

  it.each(['', 'serve'])('is prepared for by the help of "%s", which breaks no word', async (name) => {
    const words = name.split(' ').filter((word) => word !== '');
    const { code, stdout } = await onTerminal([...words, '--help'], { columns: 40, rows: 20 }, { cwd });
    expect(code).toBe(0);
    const lines = stripVTControlCharacters(stdout).split(/\r?\n/);
    expect(lines).toContain('  -h, --help');
    expect(lines).toContain('      print this help');
    // A command to type is whole, as a terminal's lines are where it is taken from them.
    const sentences = lines.filter((line) => !/^ +(simmer|xdg-open) /.test(line));
    expect(sentences.filter((line) => line.length > 40 && line.trim().includes(' '))).toEqual([]);
  });

  it('is prepared for by doctor, which breaks no word', async () => {
    const { stdout } = await onTerminal(['doctor'], { columns: 60, rows: 20 }, { cwd });
    const lines = stripVTControlCharacters(stdout).split(/\r?\n/);
    const plugins = lines.findIndex((line) => line.startsWith('ok  plugins'));
    expect(lines[plugins]?.length).toBeLessThanOrEqual(60);
    expect(lines[plugins + 1]).toMatch(/^ +\S/);
  });

  it('with --json to a terminal shows events and nothing between them', async () => {
    const { stdout } = await onTerminal(
      ['run', 'small.yaml', '--home', 'terminal', '--json'],
      { columns: 90, rows: 20 },
      { cwd },
    );
    expect(eventsIn(stdout.replaceAll('\r', '')).at(-1)?.type).toBe('run.completed');
  });
});

describe('a plan', () => {
  it('shows stages in order, and what the cache has', async () => {
    const before = await simmer(['plan', 'small.yaml', '--home', 'plan'], { cwd });
    expect(before.code).toBe(0);
    expect(before.stdout).toMatch(/1 {2}pool +curation\/generate-problems +miss/);
    expect(before.stdout).toContain('3 stages: 1 to run, 2 not known until their inputs exist');
    const after = JSON.parse((await simmer(['plan', 'small.yaml', '--home', 'made', '--json'], { cwd })).stdout);
    expect(after.stages.map((stage: { cache: string }) => stage.cache)).toEqual(['hit', 'hit', 'hit']);
    expect(after.plan.stages.map((stage: { name: string }) => stage.name)).toEqual(['pool', 'split', 'formatted']);
    expect(after.digest).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('a run that is removed', () => {
  it('goes with what it has made, once it is more than a rehearsal', async () => {
    const remove = (...args: string[]) => simmer(['remove', 'latest', '--home', 'removal', ...args], { cwd });
    await simmer(['run', 'small.yaml', '--home', 'removal'], { cwd });
    const rehearsed = await remove('--dry-run');
    expect(rehearsed.stdout).toMatch(
      /^Would remove small-\S+ with \d+ artifacts \(\d+\.\d kB\) that no other run has\.\n$/,
    );
    const removed = await remove();
    expect([removed.code, removed.stdout]).toEqual([0, rehearsed.stdout.replace('Would remove', 'Removed')]);
    expect((await remove()).stderr).toContain('error[run_not_found]');
    const { stdout } = await simmer(['plan', 'small.yaml', '--home', 'removal'], { cwd });
    expect(stdout).toContain('3 stages: 1 to run');
  });
});

describe('runs that are removed by what they have in common', () => {
  it('are those that are all of it', async () => {
    const remove = (...args: string[]) => simmer(['remove', '--home', 'common', ...args], { cwd });
    await simmer(['run', 'small.yaml', '--home', 'common'], { cwd });
    await simmer(['run', 'small.yaml', '--home', 'common'], { cwd });
    expect((await remove()).stderr).toContain('error[which_runs]');
    expect((await remove('latest', '--recipe', 'small')).stderr).toContain('error[which_runs]');
    expect((await remove('--older-than', 'long')).stderr).toContain('error[wrong_time]');
    expect((await remove('--older-than', '30d')).stdout).toBe('No run fits: there is nothing to remove.\n');
    expect((await remove('--recipe', 'small', '--status', 'failed', 'crashed')).stdout).toContain('nothing to remove');
    const { code, stdout } = await remove('--recipe', 'small', '--status', 'completed', '--older-than', '0s');
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^Removed 2 runs with .*:\n {2}small-\S+\n {2}small-\S+\n/),
    ]);
    expect((await simmer(['runs', '--home', 'common'], { cwd })).stdout).toContain('No runs');
  });
});

describe('a reader of stdout that goes away', () => {
  it.each(['schema', 'plugins --json', '--help'])('ends %s quietly', async (command) => {
    const { code, stderr } = await shell(`simmer ${command} | head -c 1 > /dev/null`, { cwd });
    expect([code, stderr]).toEqual([0, '']);
  });

  it('stops a run that people looked at, and says so where they still may read', async () => {
    const { code, stderr } = await shell('simmer run small.yaml --home left -p count=20000 | head -1', { cwd });
    expect(code).toBe(130);
    expect(stderr).toMatch(
      /^Stopping: nobody reads the output\.\nStopped \(nobody reads the output\)\. Go on with: simmer --home left resume small-/,
    );
  });

  it('stops a run gracefully, so that it can go on', async () => {
    const { code, stdout, stderr } = await shell('simmer run small.yaml --home gone -p count=20000 --json | head -1', {
      cwd,
    });
    expect(code).toBe(130);
    expect(eventsIn(stdout).map((event) => event.type)).toEqual(['run.created']);
    expect(stderr).toContain('simmer --home gone resume small-');
    expect((await simmer(['resume', 'latest', '--home', 'gone'], { cwd })).code).toBe(0);
  });
});
