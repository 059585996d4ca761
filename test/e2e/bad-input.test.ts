import { execFile } from 'node:child_process';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curationRecipe, type Ended, shell, simmer, workFolder } from './cli-process.js';

/** A file system of 400 KB that only the command sees. */
const smallDisk = 'mount -t tmpfs -o size=400k simmer-test disk';
const canMount = await promisify(execFile)('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'simmer-test', '/mnt']).then(
  () => true,
  () => false,
);

const loadRecipe = `
name: load
params: { file: none }
stages:
  pool: { uses: curation/load, with: { sources: { mine: { path: "\${{ params.file }}" } } } }
`;
const modelRecipe = (source: string) => `
name: model
trainers: { student: { uses: torch-trainer/torch } }
stages:
  base: { uses: torch-trainer/base-model, with: { trainer: student, source: ${source} } }
`;

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('load.yaml', loadRecipe);
  await folder.write('small.yaml', curationRecipe);
});
afterAll(() => folder[Symbol.asyncDispose]());

/** One message with a remedy and no stack, and nothing of what the run would have made. */
async function expectRefusal({ code, stderr }: Ended, expectedCode: number, message: string, hint: string) {
  expect(stderr).toContain(message);
  expect(stderr.match(/^error\[/gm)).toHaveLength(1);
  expect(stderr.match(/^ *hint: /gm)).toHaveLength(1);
  expect(stderr).toContain(hint);
  expect(stderr).not.toMatch(/\n +at /);
  expect(code).toBe(expectedCode);
  for (const kept of ['staging', 'objects']) expect(await filesBelow(join(cwd, '.simmer', kept))).toEqual([]);
}

async function filesBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe('a dataset', () => {
  it('without the column that is needed', async () => {
    await folder.write('columns.jsonl', '{"q":"What?","a":"1"}\n');
    const ended = await simmer(['run', 'load.yaml', '-p', 'file=columns.jsonl'], { cwd });
    await expectRefusal(ended, 4, 'columns.jsonl:1: the row has no `question`; it has `q`, `a`.', 'fields: {question');
    expect(ended.stderr.match(/has no `question`/g)).toHaveLength(1);
    expect(ended.stderr).toMatch(/^columns.jsonl:1:1$/m);
  });

  it('with broken UTF-8', async () => {
    await writeFile(join(cwd, 'utf8.jsonl'), Buffer.from('{"question":"a"}\n{"question":"b\u00ff"}\n', 'latin1'));
    const ended = await simmer(['run', 'load.yaml', '-p', 'file=utf8.jsonl'], { cwd });
    await expectRefusal(ended, 4, 'utf8.jsonl:2:15: this is not UTF-8 text.', 'iconv');
  });

  it('that is not JSON', async () => {
    await folder.write('broken.jsonl', '{"question":"a"}\n{"question":\n');
    const ended = await simmer(['run', 'load.yaml', '-p', 'file=broken.jsonl'], { cwd });
    await expectRefusal(ended, 4, 'broken.jsonl:2', 'JSON');
  });

  it('that is not there', async () => {
    const ended = await simmer(['run', 'load.yaml', '-p', 'file=nowhere.jsonl'], { cwd });
    await expectRefusal(ended, 2, 'nowhere.jsonl', 'hint');
  });
});

describe('a model folder', () => {
  it('that is none', async () => {
    await mkdir(join(cwd, 'no-model'));
    await folder.write('model.yaml', modelRecipe('./no-model'));
    const ended = await simmer(['run', 'model.yaml'], { cwd });
    await expectRefusal(ended, 2, 'is not a Hugging Face model folder: it has no config.json', 'save_pretrained()');
  });
});

describe('a recipe', () => {
  it('of 100 MB', async () => {
    const handle = await open(join(cwd, 'huge.yaml'), 'w');
    await handle.truncate(100 * 1024 * 1024);
    await handle.close();
    await expectRefusal(await simmer(['run', 'huge.yaml'], { cwd }), 2, 'a recipe has at most 1 MiB', 'in files');
  });

  it('of 20,000 nested brackets', async () => {
    await folder.write('nested.yaml', `name: nested\nstages: ${'['.repeat(20_000)}`);
    await expectRefusal(await simmer(['run', 'nested.yaml'], { cwd }), 2, 'nested.yaml:2:73', 'bracket');
  });
});

describe('a machine', () => {
  it('without Python', async () => {
    await folder.write('random.yaml', modelRecipe('{ random: { config: { model_type: llama }, seed: 1 } }'));
    const env = { PATH: '/nowhere', SIMMER_CACHE: join(cwd, 'cache'), SIMMER_PYTHON: '' };
    await expectRefusal(await simmer(['run', 'random.yaml'], { cwd, env }), 3, 'There is no Python', 'SIMMER_PYTHON');
    expect(await filesBelow(join(cwd, 'cache'))).toEqual([]);
  });

  it.runIf(canMount)('whose disk is full, and which goes on when there is space again', async () => {
    await mkdir(join(cwd, 'disk'));
    const lines = [
      smallDisk,
      'simmer run small.yaml -p count=30000 --home disk/home > full.txt 2>&1; echo $?',
      'ls disk/home/staging',
      'mount -o remount,size=100M disk',
      'simmer resume latest --home disk/home > /dev/null 2>&1; echo $?',
    ];
    const { stdout } = await shell(`export -f simmer; unshare -rm bash -c '${lines.join('; ')}'`, { cwd });
    expect(stdout.trim().split('\n')).toEqual(['3', '0']);
    const told = await readFile(join(cwd, 'full.txt'), 'utf8');
    expect(told).toContain('error[no_disk_space]');
    expect(told).toContain('Free some space');
  });

  it.runIf(canMount)('on whose full disk a run cannot go on, and is removed to make room', async () => {
    await mkdir(join(cwd, 'filled'));
    const log = 'filled/home/runs/*/events.jsonl';
    const lines = [
      // Nothing more can be made there once that many files and folders are.
      'mount -t tmpfs -o size=8m,nr_inodes=400 simmer-test filled',
      'simmer run small.yaml --home filled/home > /dev/null 2>&1; echo $?',
      `head -n -1 ${log} > shorter; cat shorter > ${log}`,
      'simmer serve --home filled/home --listen unix:socket/s > /dev/null 2> serve.txt & server=$!',
      'until test -S socket/s; do kill -0 $server || exit; sleep 0.1; done',
      'touch filled/{1..400} 2> /dev/null',
      'simmer --server unix:socket/s resume latest > resumed.txt 2>&1; echo $?',
      'kill $(grep -oE "[0-9]+" filled/home/server/owner.json | head -1); wait $server',
      'simmer remove latest --home filled/home; echo $?; ls filled/home/runs filled/home/artifacts/dataset',
    ];
    const script = lines.join('\n');
    const { stdout } = await shell(`export -f simmer; unshare -rm bash -c '${script}'`, { cwd });
    expect(stdout.trim().split('\n')).toEqual([
      '0',
      '3',
      expect.stringMatching(/^Removed small-.* with \d artifacts/),
      '0',
      'filled/home/artifacts/dataset:',
      '',
      'filled/home/runs:',
    ]);
    expect(await readFile(join(cwd, 'resumed.txt'), 'utf8')).toMatch(
      /^error\[no_disk_space\]: There is no space left/m,
    );
  });
});
