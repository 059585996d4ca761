import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simmerPackage } from '../../core/plugin/locate.js';
import { curationRecipe, shell, workFolder } from './cli-process.js';

const canMount = await promisify(execFile)('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'simmer-test', '/mnt']).then(
  () => true,
  () => false,
);

/** Of a random model: the first thing that needs the trainer's environment, which is in the cache. */
const modelRecipe = `
name: model
seed: 7
trainers: { student: { uses: torch-trainer/torch } }
stages:
  base:
    uses: torch-trainer/base-model
    with: { trainer: student, source: { random: { seed: 7, config: { model_type: llama } } } }
`;

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
  await folder.write('model.yaml', modelRecipe);
});
afterAll(() => folder[Symbol.asyncDispose]());

describe('a folder to work in that was removed', () => {
  it('is told, and help is given all the same', async () => {
    await mkdir(join(cwd, 'gone'));
    const ended = await shell('cd gone; rmdir ../gone; simmer --help > /dev/null && simmer runs', { cwd });
    expect(ended.stderr.match(/^error\[/gm)).toHaveLength(1);
    expect(ended.stderr).toMatch(/^error\[working_folder_missing\]: The folder that you are in was removed\.\nhint: /m);
    expect(ended.stderr).not.toMatch(/\n +at /);
    expect(ended.code).toBe(3);
  });
});

describe('a user without a folder', () => {
  it.runIf(canMount)('is told to set HOME, as in a container that is run with any id', async () => {
    const lines = 'unset HOME; simmer runs; HOME=$PWD simmer runs';
    const ended = await shell(`export -f simmer; unshare --map-user 12345 bash -c '${lines}'`, { cwd });
    expect(ended.stderr).toBe(
      'error[user_folder_unknown]: HOME is not set, and the system knows no user with the id 12345.\n' +
        'hint: Set HOME to a folder that you may write to.\n',
    );
    expect(ended.code).toBe(0);
  });
});

describe('an empty HOME', () => {
  it('is as none: what all projects share is in no folder that a command happens to be in', async () => {
    const ended = await shell('HOME= XDG_CACHE_HOME= SIMMER_CACHE= simmer doctor --json', { cwd });
    const { settings } = JSON.parse(ended.stdout);
    expect(settings.find(({ name }: { name: string }) => name === 'cacheFolder').value).toMatch(/^\//);
  });
});

describe('a cache folder on a disk that is full', () => {
  it.runIf(canMount)('is named, and what chooses another one', async () => {
    await mkdir(join(cwd, 'cache'));
    const lines = [
      'mount -t tmpfs -o size=8k simmer-test cache',
      'head -c 8k /dev/zero > cache/filler',
      'SIMMER_CACHE=$PWD/cache simmer run model.yaml --home full-cache',
    ];
    const ended = await shell(`export -f simmer; unshare -rm bash -c '${lines.join('; ')}'`, { cwd });
    expect(ended.stderr).toMatch(/^error\[no_disk_space\]: .*There is no space left for .*\/cache\.$/m);
    expect(ended.stderr).toMatch(/^hint: Free some space, or choose another place with SIMMER_CACHE or /m);
    expect(ended.code).toBe(3);
  });
});

describe('what cannot be told as it should', () => {
  it('ends the command with what is wrong, instead of going round for ever', async () => {
    // Too few for the modules of the command itself, those that print errors among them.
    const ended = await shell('ulimit -n 30; simmer runs', { cwd });
    expect(ended.stderr).toContain('EMFILE');
    expect(ended.code).toBe(1);
  });
});

describe('a checkout that is only read', () => {
  it.runIf(canMount)('is not set up, and what to do instead is told, not which file could not be removed', async () => {
    await mkdir(join(cwd, 'checkout'));
    const lines = [
      'mount -t tmpfs simmer-test checkout',
      `cp ${join(simmerPackage.root, 'package.json')} checkout`,
      'mount -o remount,ro checkout',
      'cd checkout',
      'npm run setup --silent',
    ];
    const ended = await shell(`unshare -rm bash -c '${lines.join('; ')}'`, { cwd });
    expect(ended.stderr).toMatch(/^Simmer cannot be built here: this folder cannot be written to\. Clone it to /);
    expect(ended.code).toBe(1);
  });
});

describe('a home', () => {
  it.runIf(canMount).each(['run small.yaml', 'serve'])(
    'that is to be made on a disk that is only read is not, and the disk is told by simmer %s',
    async (command) => {
      await mkdir(join(cwd, 'disk'), { recursive: true });
      const lines = ['mount -t tmpfs -o ro simmer-test disk', `simmer ${command} --home disk/deep/home`];
      const ended = await shell(`export -f simmer; unshare -rm bash -c '${lines.join('; ')}'`, { cwd });
      expect(ended.stderr).toMatch(/^error\[not_writable\]: Cannot write to .*disk\/deep\/home: EROFS/);
      expect(ended.stderr).not.toMatch(/\n +at /);
      expect(ended.code).toBe(3);
    },
  );

  it('without a name is refused: it would be the folder that the command is in', async () => {
    const ended = await shell('simmer run small.yaml --home "$NOT_SET"', { cwd });
    expect(ended.stderr).toMatch(/^error\[empty_path\]: --home is empty\.\nhint: Name a path, or leave it out\.$/m);
    expect(ended.code).toBe(2);
    expect(await readdir(cwd)).not.toContain('runs');
  });
});

describe('an output on a disk that is full', () => {
  it('stops a run in order, which goes on later', async () => {
    const ended = await shell('simmer run small.yaml --home out > /dev/full', { cwd });
    expect(ended.stderr).toMatch(/^Stopping: the output cannot be written: ENOSPC/m);
    expect(ended.stderr).toContain('Go on with: simmer --home out resume small-');
    expect(ended.stderr).not.toMatch(/\n +at |bug/);
    expect(ended.code).toBe(130);
    expect((await shell('simmer resume latest --home out', { cwd })).stdout).toContain('✔ small done');
  });

  it('is told by a command that answers', async () => {
    const ended = await shell('simmer runs --home out > /dev/full', { cwd });
    expect(ended.stderr).toMatch(/^error\[output_not_written\]: The output cannot be written: ENOSPC/m);
    // Where runs are kept has nothing to do with it.
    expect(ended.stderr).not.toMatch(/\n +at |--home/);
    expect(ended.code).toBe(3);
  });
});

describe('a data file that is a pipe', () => {
  it('is refused where the recipe names it, instead of waiting for it without a word', async () => {
    await folder.write(
      'pipe.yaml',
      'name: pipe\nstages: { pool: { uses: curation/load, with: { sources: { mine: { path: pipe.jsonl } } } } }\n',
    );
    const ended = await shell('mkfifo pipe.jsonl; simmer validate pipe.yaml', { cwd });
    expect(ended.stderr).toMatch(
      /^pipe\.yaml:2:\d+: .*pipe\.jsonl is a device or pipe, neither a file nor a folder\.$/m,
    );
    expect(ended.stderr).toContain('hint: Write its content to a file first.');
    expect(ended.code).toBe(2);
  });
});
