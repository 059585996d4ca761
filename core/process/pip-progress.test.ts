import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { deferred } from '../deferred.js';
import type { PrepareContext, StageEvent } from '../plugin/definitions.js';
import { installWithPip } from './pip.js';
import { PipProgress } from './pip-progress.js';
import { prepareContext } from './prepare-context.fixture.js';
import { readLock } from './python-requirements.js';
import { runCommand } from './run-command.js';

const { signal } = new AbortController();
let folder: string;
let said: string[];
let events: StageEvent[];
beforeEach(async () => {
  folder = await temporaryFolder();
  said = [];
  events = [];
});
afterEach(() => vi.unstubAllEnvs());

function context(seen: (event: StageEvent) => void = () => {}): PrepareContext {
  const onEvent = (event: StageEvent) => {
    events.push(event);
    seen(event);
  };
  return prepareContext(folder, said, onEvent, signal);
}

/** A wheel of some megabytes. */
async function largeWheel(): Promise<Buffer> {
  const script = `import io, os, sys, zipfile
out = io.BytesIO()
with zipfile.ZipFile(out, "w") as wheel:
    wheel.writestr("large/data.bin", os.urandom(12_000_000))
    wheel.writestr("large-1.0+cpu.dist-info/METADATA", "Metadata-Version: 2.1\\nName: large\\nVersion: 1.0+cpu\\n")
    wheel.writestr("large-1.0+cpu.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("large-1.0+cpu.dist-info/RECORD", "")
print(out.getvalue().hex())`;
  return Buffer.from((await runCommand(['python3', '-c', script], { signal })).stdout, 'hex');
}

it('tells how many bytes of a download are there, also of a version such as 1.0+cpu, as PyTorch has', async () => {
  const path = '/large-1.0%2Bcpu-py3-none-any.whl';
  const wheel = await largeWheel();
  const half = wheel.length >> 1;
  const halfTold = deferred<void>();
  const server = createServer((request, response) => {
    if (request.url !== path) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(`<a href="${path}">large</a>`);
      return;
    }
    response.writeHead(200, { 'content-length': wheel.length }).write(wheel.subarray(0, half));
    void halfTold.promise.then(() => response.end(wheel.subarray(half)));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => void server.close());
  vi.stubEnv('PIP_CONFIG_FILE', '/dev/null');
  vi.stubEnv('PIP_FIND_LINKS', '');
  vi.stubEnv('PIP_NO_CACHE_DIR', '1');
  vi.stubEnv('PIP_INDEX_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`);
  const lockFile = join(folder, 'lock.txt');
  await writeFile(lockFile, 'large==1.0\n');
  const told = (event: StageEvent) => {
    if (event.type !== 'stage.progressed' || event.data.unit !== 'bytes' || event.data.done < half / 2) return;
    expect(event.data).toMatchObject({ total: 12_000_000 });
    halfTold.resolve();
  };
  // With the pip that is there: to install another takes longer than all else.
  const environment = join(folder, 'env');
  const options = ['--without-pip', '--system-site-packages', environment];
  expect(await runCommand(['python3', '-m', 'venv', ...options], { signal })).toMatchObject({ exitCode: 0 });
  const lock = await readLock(lockFile);
  await installWithPip({ python: join(environment, 'bin', 'python'), lock, name: 'test', context: context(told) });
  expect(said).toContainEqual(expect.stringMatching(/^Downloading .*large-1\.0%2Bcpu-py3-none-any\.whl \(12\.0 MB\)$/));
});

it('downloads to where the environment is, which has room for it, and leaves nothing there', async () => {
  const python = join(folder, 'env-1', 'bin', 'python');
  await mkdir(dirname(python), { recursive: true });
  const script = `#!/bin/sh\ntouch "$TMPDIR/wheel" && echo "$TMPDIR" > '${folder}/used'\n`;
  await writeFile(python, script, { mode: 0o755 });
  const lockFile = join(folder, 'lock.txt');
  await writeFile(lockFile, '');
  await installWithPip({ python, lock: await readLock(lockFile), name: 'test', context: context() });
  const used = (await readFile(join(folder, 'used'), 'utf8')).trim();
  expect(used).toBe(join(folder, 'env-1-downloads'));
  expect(existsSync(used)).toBe(false);
});

it('tells how many packages are installed, and which one takes long', async () => {
  const packages = join(folder, 'lib', 'python3.11', 'site-packages');
  await mkdir(join(packages, 'pip-24.0.dist-info'), { recursive: true });
  await writeFile(join(packages, 'pip-24.0.dist-info', 'INSTALLER'), 'pip\n');
  const places = { temporaryFolder: folder, environmentFolder: folder };
  using progress = new PipProgress({ name: 'test', total: 2, ...places, context: context() });
  progress.take('Installing collected packages: Typing-Extensions, torch');
  await progress.look();
  const installed = join(packages, 'typing_extensions-4.15.0.dist-info');
  await mkdir(installed);
  await progress.look();
  await writeFile(join(installed, 'INSTALLER'), 'pip\n');
  for (const _ of [1, 2, 3]) await progress.look();
  expect(events.map((event) => event.data)).toEqual(
    [0, 0, 1, 1, 1].map((done) => ({ done, total: 2, unit: 'packages installed' })),
  );
  expect(said).toEqual([
    'Installing 2 packages into the Python environment test.',
    'Installing Typing-Extensions, package 1 of 2.',
    'Installing torch, package 2 of 2.',
  ]);
});

it('is told to nobody where the run is over before pip is', async () => {
  const emit = () => Promise.reject(new Error('The run has ended.'));
  const places = { temporaryFolder: folder, environmentFolder: folder };
  // A rejection that nobody handles would fail this test.
  using progress = new PipProgress({ name: 'test', total: 1, ...places, context: { ...context(), emit } });
  progress.take('Collecting torch');
  await new Promise((resolve) => setImmediate(resolve));
  expect(said).toEqual([]);
});
