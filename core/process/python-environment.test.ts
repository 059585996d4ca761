import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { sharedFolder, temporaryFolder } from '../../test/temporary-folder.js';
import type { PrepareContext, StageEvent } from '../plugin/definitions.js';
import { prepareContext } from './prepare-context.fixture.js';
import { isAlive, processIdentity } from './process-identity.js';
import { preparePythonEnvironment } from './python-environment.js';
import { findPython } from './python-interpreter.js';
import { runCommand } from './run-command.js';

let folder: string;
let said: string[];
let events: StageEvent[];
let stop: AbortController;
beforeEach(async () => {
  folder = await temporaryFolder();
  said = [];
  events = [];
  stop = new AbortController();
});
afterEach(() => vi.unstubAllEnvs());

const signal = new AbortController().signal;

function context(): PrepareContext {
  return prepareContext(folder, said, (event) => events.push(event), stop.signal);
}

async function prepare(lock: string, more: { python?: string; requirements?: readonly string[] } = {}) {
  const lockFile = join(folder, 'lock.txt');
  await writeFile(lockFile, lock);
  const packageFolders = [join(folder, 'packages')];
  return preparePythonEnvironment({
    name: 'test',
    lockFile,
    cacheFolder: folder,
    packageFolders,
    context: context(),
    ...more,
  });
}

/** Has environments made without their own pip, which is most of the work. */
async function leavePipOut(): Promise<void> {
  const python = join(folder, 'python-without-pip');
  const script = 'case "$*" in "-m venv "*) shift 2; set -- -m venv --without-pip "$@";; esac; exec python3 "$@"';
  await writeFile(python, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  vi.stubEnv('SIMMER_PYTHON', python);
}

/** A wheel that pip finds without a network. */
async function makeWheel(name: string, version: string): Promise<void> {
  const script = `import sys, zipfile
name, version, folder = sys.argv[1:]
info = f"{name}-{version}.dist-info"
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{name}.py", "answer = 42\\n")
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(f"{info}/RECORD", "")`;
  await mkdir(join(folder, 'wheels'), { recursive: true });
  const made = await runCommand(['python3', '-c', script, name, version, join(folder, 'wheels')], { signal });
  expect(made.exitCode, made.lastLines.join('\n')).toBe(0);
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', join(folder, 'wheels'));
}

/** A Python whose venv starts a process that writes into the new folder for long. Both pids are in `pids`. */
async function makeVenvEndless(): Promise<void> {
  const python = join(folder, 'python-with-endless-venv');
  const writer = `for i in {1..9999}; do mkdir -p "$3/lib"; : > "$3/lib/$i"; done`;
  const venv = `(${writer}) > /dev/null 2>&1 & echo $$ $! > '${folder}/pids'; wait`;
  await writeFile(python, `#!/bin/bash\ncase "$*" in "-m venv "*) ${venv};; esac\nexec python3 "$@"\n`, {
    mode: 0o755,
  });
  vi.stubEnv('SIMMER_PYTHON', python);
}

describe('an environment of Simmer’s own', () => {
  it('is made from the lock, announced before, and used again', async () => {
    await makeWheel('tinypackage', '1.2.3');
    const lock = '# download: about 1 KB\ntinypackage==1.2.3\n';
    const { python, env } = await prepare(lock);

    expect(said[0]).toMatch(/^Downloading about 1 KB, once, for the Python environment test: 1 package, into \//);
    const ran = await runCommand([python, '-c', 'import tinypackage; print(tinypackage.answer)'], { signal, env });
    expect(ran.stdout).toBe('42');
    expect(env.PYTHONPATH).toBe(join(folder, 'packages'));
    expect(events.slice(0, 2)).toEqual(
      [0, 1].map((done) => ({ type: 'stage.progressed', data: { done, total: 1, unit: 'packages' } })),
    );
    expect(events.at(-1)).toMatchObject({
      type: 'environment.prepared',
      data: { name: 'test', reused: false, versions: { tinypackage: '1.2.3', python: expect.stringMatching(/^3\./) } },
    });

    said = [];
    expect((await prepare(lock)).python).toBe(python);
    expect(said).toEqual([]);
    expect(events.at(-1)).toMatchObject({ data: { reused: true, versions: { tinypackage: '1.2.3' } } });
  });

  it('is made once for those who want it at the same time', async () => {
    await leavePipOut();
    const environments = await Promise.all([prepare(''), prepare(''), prepare('')]);
    expect(new Set(environments.map((environment) => environment.python)).size).toBe(1);
    const [made] = await readdir(join(folder, 'python'));
    const inside = await readdir(join(folder, 'python', made as string));
    expect(inside.filter((name) => name.startsWith('env-'))).toHaveLength(1);
  });

  it('replaces what a killed builder left', async () => {
    await leavePipOut();
    const { python } = await prepare('');
    const [name] = await readdir(join(folder, 'python'));
    const base = join(folder, 'python', name as string);
    await rm(join(base, 'ready.json'));
    await mkdir(join(base, 'env-killed-downloads'));
    const again = await prepare('');
    expect(again.python).not.toBe(python);
    expect((await readdir(base)).filter((item) => item.startsWith('env-'))).toHaveLength(1);
  });

  it('that is given up leaves nothing, and nobody who goes on with it', async () => {
    await makeVenvEndless();
    const preparing = expect(prepare('')).rejects.toThrow('Ctrl-C');
    const pids = () => readFile(join(folder, 'pids'), 'utf8').catch(() => '');
    await expect.poll(pids).toMatch(/^\d+ \d+\n/);
    const started = (await pids()).trim().split(' ').map(Number);
    const processes = await Promise.all(started.map(processIdentity));
    stop.abort(new Error('Ctrl-C'));
    await preparing;
    const [name] = await readdir(join(folder, 'python'));
    expect(await readdir(join(folder, 'python', name as string))).toEqual([]);
    for (const identity of processes) await expect.poll(() => isAlive(identity as never)).toBe(false);
  });

  it('that pip cannot install leaves nothing, and shows the end of what pip said', async () => {
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', '');
    await expect(prepare('no-such-package==9.9.9\n')).rejects.toMatchObject({
      code: 'pip_failed',
      kind: 'environment',
      message: expect.stringContaining('No matching distribution found for no-such-package==9.9.9'),
      hint: expect.stringMatching(/^What Simmer needs is built for Python 3\.11 to 3\.14 on .*python:/),
    });
    const [name] = await readdir(join(folder, 'python'));
    expect(await readdir(join(folder, 'python', name as string))).toEqual([]);
  });
});

/** A program that stands in for a Python, as first on the PATH. */
async function fakePython(script: string): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  for (const name of ['python3', 'python3.11', 'python3.12', 'python3.13', 'python3.14', 'python']) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return bin;
}

const says = (version: string) =>
  `echo '{"version": "${version}", "implementation": "cpython", "platform": "test"}'; exit 0`;

describe('a machine', () => {
  it('without Python is told how to get one', async () => {
    vi.stubEnv('PATH', join(folder, 'empty'));
    await expect(prepare('')).rejects.toMatchObject({
      code: 'python_not_found',
      kind: 'environment',
      hint: expect.stringContaining('apt install python3'),
    });
  });

  it('with an old Python is told which', async () => {
    vi.stubEnv('PATH', await fakePython(says('3.9.2')));
    await expect(prepare('')).rejects.toMatchObject({
      code: 'python_too_old',
      message: expect.stringContaining('python3 is Python 3.9.2; 3.11 or newer is needed'),
    });
  });

  it('with a Python that is too new for the packages has another one used, where there is one', async () => {
    const find = async (script: string) => {
      vi.stubEnv('PATH', await fakePython(script));
      return (await findPython(signal)).path;
    };
    expect(await find(`case "$0" in *python3.13) ${says('3.13.1')};; esac\n${says('3.15.0')}`)).toBe('python3.13');
    expect(await find(says('3.15.0'))).toBe('python3');
  });

  it('without the venv module is told which package has it', async () => {
    const bin = await fakePython(
      `case "$*" in *venv*) echo 'ensurepip is not available' >&2; exit 1;; esac\n${says('3.11.2')}`,
    );
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    await expect(prepare('')).rejects.toMatchObject({
      code: 'venv_missing',
      message: expect.stringContaining('ensurepip is not available'),
      hint: expect.stringContaining('apt install python3-venv'),
    });
  });

  it('with a full disk is told so, not that Python is broken', async () => {
    const full = `case "$*" in *venv*) echo 'OSError: [Errno 28] No space left on device' >&2; exit 1;; esac`;
    vi.stubEnv('PATH', `${await fakePython(`${full}\n${says('3.11.2')}`)}:${process.env.PATH}`);
    await expect(prepare('')).rejects.toMatchObject({ code: 'no_disk_space', kind: 'environment' });
  });
});

describe('the user’s own Python', () => {
  const environment = sharedFolder();
  const own = join(environment, 'bin', 'python');
  beforeAll(async () => {
    expect((await runCommand(['python3', '-m', 'venv', environment], { signal })).exitCode).toBe(0);
  });

  it('is used as it is where it has what is needed', async () => {
    vi.stubEnv('PYTHONPATH', '/somewhere');
    const { python, env } = await prepare('pip==1\n', { python: own, requirements: ['pip>=20,<1000'] });
    expect(python).toBe(own);
    expect(env.PYTHONPATH).toBe(`${join(folder, 'packages')}:/somewhere`);
    expect(events.at(-1)).toMatchObject({ data: { path: own, reused: true } });
  });

  it('is refused with all that it lacks', async () => {
    const requirements = ['torch>=2.11', 'pip>=1000', 'Math_Verify==0.9.*'];
    await expect(prepare('torch==2.13.0\n', { python: own, requirements })).rejects.toMatchObject({
      code: 'python_incomplete',
      kind: 'environment',
      message: expect.stringMatching(
        /torch>=2\.11 \(missing\), pip>=1000 \(found [\d.]+\), Math_Verify==0\.9\.\* \(missing\)/,
      ),
    });
  });

  it('is refused where it is no Python', async () => {
    await expect(prepare('', { python: '/bin/false' })).rejects.toMatchObject({ code: 'python_not_found' });
    await expect(prepare('', { python: join(folder, 'nothing') })).rejects.toMatchObject({ code: 'python_not_found' });
  });
});
