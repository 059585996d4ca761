import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { attachToProcess } from './attach-to-process.js';
import { lastLines } from './file-tail.js';
import { residentMemoryBytes } from './memory.js';
import { isAlive, processIdentity } from './process-identity.js';
import { makeSocketFolder, removeSocketFolder } from './socket-folder.js';
import { type DetachedProcess, spawnDetached } from './spawn-detached.js';
import { endsWithin, signalGroup, signalProcess, terminateGroup } from './terminate.js';

let folder: string;
const started: DetachedProcess[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
});
const { platform } = process;
function on(system: NodeJS.Platform): void {
  Object.defineProperty(process, 'platform', { value: system });
}
afterEach(async () => {
  on(platform);
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const { pid } of started.splice(0)) signalGroup(pid, 'SIGKILL');
});

async function shell(script: string): Promise<DetachedProcess> {
  const child = await spawnDetached({
    argv: ['/bin/sh', '-c', script],
    env: process.env,
    stdoutFile: join(folder, 'stdout'),
    stderrFile: join(folder, 'stderr'),
  });
  started.push(child);
  return child;
}

describe('a detached process', () => {
  it('writes to files, leads a group of its own, and tells how it ended', async () => {
    const child = await shell('echo out; echo err >&2; ps -o pgid= -p $$; exit 3');
    expect(await child.exited).toEqual({ exitCode: 3, signal: null });
    const [out, group] = (await readFile(join(folder, 'stdout'), 'utf8')).split('\n');
    expect(out).toBe('out');
    expect(Number(group)).toBe(child.pid);
    expect(await lastLines(join(folder, 'stderr'))).toEqual(['err']);
  });

  it('that cannot be found is an error of the environment', async () => {
    const options = { env: {}, stdoutFile: join(folder, 'o'), stderrFile: join(folder, 'e') };
    await expect(spawnDetached({ argv: ['/no/such/program'], ...options })).rejects.toMatchObject({
      code: 'program_not_found',
      kind: 'environment',
    });
  });

  it('is seen to end by one that is not its parent', async () => {
    const child = await shell('sleep 60');
    const attached = await attachToProcess(child.pid);
    expect(attached).toBeDefined();
    signalGroup(child.pid, 'SIGKILL');
    expect(await endsWithin(attached?.exited as Promise<unknown>, 10_000)).toBe(true);
    expect(await attachToProcess(child.pid)).toBeUndefined();
  });

  it('is ended with all that it started, by force where it does not heed SIGTERM', async () => {
    const child = await shell(`trap '' TERM; sleep 61 & echo $! ; wait; sleep 60`);
    await expect.poll(() => lastLines(join(folder, 'stdout'))).toHaveLength(1);
    const grandchild = await processIdentity(Number((await lastLines(join(folder, 'stdout')))[0]));
    expect(grandchild).toBeDefined();
    await terminateGroup(child.pid, child.exited, 200);
    expect((await child.exited).signal).toBe('SIGKILL');
    await expect.poll(() => isAlive(grandchild as never)).toBe(false);
  });

  it('is not taken for one that has its pid later', async () => {
    const identity = await processIdentity(process.pid);
    expect(await isAlive(identity as never)).toBe(true);
    expect(await isAlive({ pid: process.pid, startTime: 'another' })).toBe(false);
  });

  it('is itself where there is no /proc, also after a journey to another time zone', async () => {
    on('darwin');
    vi.stubEnv('TZ', 'Europe/Berlin');
    const identity = await processIdentity(process.pid);
    expect(identity?.startTime).toMatch(/\d\d:\d\d:\d\d \d{4}$/);
    vi.stubEnv('TZ', 'Asia/Kathmandu');
    expect(await isAlive(identity as never)).toBe(true);
  });
});

describe('a signal', () => {
  it('to a group whose processes are dead and not reaped finds nobody, as macOS tells of it', () => {
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    on('darwin');
    expect(signalGroup(12345, 'SIGTERM')).toBe(false);
    expect(() => signalProcess(12345, 'SIGTERM')).toThrow('EPERM');
    on('linux');
    expect(() => signalGroup(12345, 'SIGTERM')).toThrow('EPERM');
  });

  it.each([1, 0, -1, Number.NaN])('is never sent for the process id %d, which names many', (pid) => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    expect(() => signalGroup(pid, 'SIGKILL')).toThrow(RangeError);
    expect(() => signalProcess(pid, 'SIGKILL')).toThrow(RangeError);
    expect(kill).not.toHaveBeenCalled();
  });

  it('to a process that is gone says so', async () => {
    const child = await shell('exit 0');
    await child.exited;
    expect(signalGroup(child.pid, 'SIGKILL')).toBe(false);
    expect(signalProcess(child.pid, 'SIGKILL')).toBe(false);
  });
});

it('counts the memory of a process with its descendants', async () => {
  const own = await residentMemoryBytes([process.pid]);
  expect(own).toBeGreaterThan(20e6);
  const child = await shell('sleep 60 & sleep 60 & wait');
  const ofShell = await residentMemoryBytes([child.pid]);
  expect(ofShell).toBeGreaterThan(0);
  expect(await residentMemoryBytes([process.pid, process.pid])).toBeLessThan(own * 1.5);
  expect(await residentMemoryBytes([999_999_999])).toBe(0);
});

describe('the folder of a socket', () => {
  it('is for this user only, and its path is short', async () => {
    const made = await makeSocketFolder();
    expect((await stat(made)).mode & 0o777).toBe(0o700);
    expect(Buffer.byteLength(join(made, 'x'.repeat(24)))).toBeLessThan(104);
    await removeSocketFolder(join(made, 'trainer.sock'));
    await expect(stat(made)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is elsewhere where the usual place has a long path, or is not there', async () => {
    const long = join(folder, 'l'.repeat(100));
    await mkdir(long);
    vi.stubEnv('XDG_RUNTIME_DIR', long);
    vi.stubEnv('TMPDIR', '/no/such/folder');
    const made = await makeSocketFolder();
    expect(dirname(made)).toBe('/tmp');
    await removeSocketFolder(join(made, 's'));
  });
});

it('reads the last lines of a file that is longer than it wants', async () => {
  const file = join(folder, 'long');
  await writeFile(file, Array.from({ length: 10_000 }, (_, index) => `line ${index}\n`).join(''));
  expect(await lastLines(file, 2, 100)).toEqual(['line 9998', 'line 9999']);
  expect(await lastLines(join(folder, 'none'))).toEqual([]);
});
