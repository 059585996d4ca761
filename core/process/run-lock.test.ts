import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { processIdentity, processPlace } from './process-identity.js';
import { acquireRunLock, readRunOwner } from './run-lock.js';

const execFileAsync = promisify(execFile);

let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Compiles what is tested, for other processes. @returns the URL of the module */
async function compile(): Promise<string> {
  const compiled = join(folder, 'compiled');
  const source = new URL('./run-lock.ts', import.meta.url);
  const options = ['--ignoreConfig', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'];
  const root = fileURLToPath(new URL('../..', import.meta.url));
  await execFileAsync(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'),
      ...[...options, '--types', 'node', '--skipLibCheck', '--rootDir', root, '--outDir', compiled],
      fileURLToPath(source),
    ],
    { cwd: root },
  );
  await writeFile(join(compiled, 'package.json'), '{"type":"module"}');
  return pathToFileURL(join(compiled, 'core/process/run-lock.js')).href;
}

/** Another process that takes locks by the same code, those of the folders that it is told line by line. */
class Other {
  readonly process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(module: string, [command, ...words]: readonly string[] = [process.execPath]) {
    const code = `
      const { acquireRunLock } = await import(${JSON.stringify(module)});
      globalThis.locks = [];
      for await (const folder of (await import('node:readline')).createInterface({ input: process.stdin })) {
        const lock = await acquireRunLock(folder).catch((error) => error);
        globalThis.locks.push(lock);
        console.log('owner' in lock ? 'held' : lock.code);
      }`;
    const args = [...words, '--input-type=module', '-e', code];
    this.process = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(this.process);
    this.#answers = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  /** @returns `held`, or the code of the error */
  async take(taken: string): Promise<string> {
    this.process.stdin!.write(`${taken}\n`);
    return (await this.#answers.next()).value;
  }

  async kill(): Promise<void> {
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
  }
}

/** Node in namespaces of its own, as in a container: it sees no other processes, and no abstract names. */
const inContainer = ['unshare', '-rnp', '--fork', '--kill-child', '--mount-proc', process.execPath];
const canUnshare = await execFileAsync(inContainer[0]!, [...inContainer.slice(1), '-e', '']).then(
  () => true,
  () => false,
);

/** Docker's own layers, for one, are on no disk. */
const isOnDisk = process.platform === 'linux' && (((await stat(tmpdir(), { bigint: true })).dev >> 8n) & 0xfffn) !== 0n;

describe('a run lock', () => {
  it('is held by one at a time, and says by whom', async () => {
    const lock = await acquireRunLock(folder);
    expect(lock.owner).toEqual({
      pid: process.pid,
      ...(await processPlace()),
      startedAt: expect.any(String),
      processStartTime: expect.any(String),
      ...(isOnDisk ? { shownOn: expect.any(String) } : {}),
    });
    const refused = await acquireRunLock(folder).catch((error) => error);
    expect(refused).toMatchObject({ code: 'run_locked', kind: 'environment' });
    for (const word of [`process ${process.pid} `, hostname(), lock.owner.startedAt]) {
      expect(refused.message).toContain(word);
    }
    expect(await readRunOwner(folder)).toEqual({ ...lock.owner, alive: true });
    await lock[Symbol.asyncDispose]();
    expect(await readRunOwner(folder)).toBeUndefined();
    await using again = await acquireRunLock(folder);
    expect(again.owner.pid).toBe(process.pid);
  });

  it("is the folder's, by whatever path it is reached", async () => {
    const link = join(tmpdir(), `simmer-lock-link-${process.pid}`);
    await rm(link, { force: true });
    await symlink(folder, link);
    await using _lock = await acquireRunLock(folder);
    await expect(acquireRunLock(link)).rejects.toMatchObject({ code: 'run_locked' });
    await rm(link);
  });

  it('is one of many that ask at once', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 10 }, () => acquireRunLock(folder)));
    const got = asked.filter(({ status }) => status === 'fulfilled');
    expect(got).toHaveLength(1);
    for (const lock of got) if (lock.status === 'fulfilled') await lock.value[Symbol.asyncDispose]();
  });

  it('of a process that was killed is free at once', async () => {
    const other = new Other(await compile());
    expect(await other.take(folder)).toBe('held');
    const { pid } = other.process;
    await expect(acquireRunLock(folder)).rejects.toThrow(new RegExp(`process ${pid} on `));
    expect(await readRunOwner(folder)).toMatchObject({ pid, alive: true });
    await other.kill();
    expect(await readRunOwner(folder)).toMatchObject({ pid, alive: false });
    await using lock = await acquireRunLock(folder);
    expect(lock.owner.pid).toBe(process.pid);
  });

  it('that an owner on another host may hold is refused with what to do', async () => {
    const owner = { pid: 7, host: 'node-17', startedAt: '2026-01-01T00:00:00.000Z' };
    await writeFile(join(folder, 'owner.json'), JSON.stringify(owner));
    // On a shared disk: who listens there is not heard here.
    await writeFile(join(folder, '.lock-other'), '');
    expect(await readRunOwner(folder)).toEqual({ ...owner, alive: true });
    await expect(acquireRunLock(folder)).rejects.toMatchObject({
      code: 'run_locked',
      message: expect.stringContaining('process 7 on node-17, since 2026-01-01'),
      hint: expect.stringContaining(join(folder, 'owner.json')),
    });
    expect((await readdir(folder)).toSorted()).toEqual(['.lock-other', 'owner.json']);
    await rm(join(folder, 'owner.json'));
    await using lock = await acquireRunLock(folder);
    expect(lock.owner.host).toBe(hostname());
    if (process.platform === 'linux') expect(await readdir(folder)).not.toContain('.lock-other');
  });

  it('of a process that was killed when this machine was called otherwise is free', async () => {
    const former = { pid: 7, ...(await processPlace()), host: 'former', startedAt: '2026-01-01T00:00:00.000Z' };
    await writeFile(join(folder, 'owner.json'), JSON.stringify(former));
    expect(await readRunOwner(folder)).toEqual({ ...former, alive: false });
    await using lock = await acquireRunLock(folder);
    expect(lock.owner.host).toBe(hostname());
  });

  it('is refused where its process is seen, but not its lock, as from a sandbox without a network', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    children.push(child);
    await once(child, 'spawn');
    const { pid, startTime: processStartTime } = (await processIdentity(child.pid!))!;
    const owner = { pid, ...(await processPlace()), startedAt: '2026-01-01T00:00:00.000Z', processStartTime };
    await writeFile(join(folder, 'owner.json'), JSON.stringify(owner));
    expect(await readRunOwner(folder)).toEqual({ ...owner, alive: true });
    await expect(acquireRunLock(folder)).rejects.toMatchObject({
      code: 'run_locked',
      message: expect.stringContaining(`process ${pid} on ${hostname()}`),
    });
    expect(JSON.parse(await readFile(join(folder, 'owner.json'), 'utf8'))).toEqual(owner);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await using lock = await acquireRunLock(folder);
    expect(lock.owner.pid).toBe(process.pid);
  });

  it.runIf(process.platform === 'linux')(
    'is refused where neither process nor lock is seen, as from a container',
    async () => {
      const owner = { pid: 2 ** 30, host: hostname(), startedAt: '2026-01-01T00:00:00.000Z', processStartTime: '1' };
      await writeFile(join(folder, 'owner.json'), JSON.stringify(owner));
      // What a process in other namespaces of the same kernel shows of its lock.
      const shown = createServer().listen(join(folder, '.lock-other'));
      await once(shown, 'listening');
      expect(await readRunOwner(folder)).toEqual({ ...owner, alive: true });
      await expect(acquireRunLock(folder)).rejects.toMatchObject({ code: 'run_locked' });
      shown.close();
      await once(shown, 'close');
      expect(await readRunOwner(folder)).toEqual({ ...owner, alive: false });
      await using lock = await acquireRunLock(folder);
      const [shownHere] = (await readdir(folder)).filter((name) => name.startsWith('.lock'));
      // Another user, too, is to tell whether somebody listens.
      expect((await stat(join(folder, shownHere!))).mode & 0o222).toBe(0o222);
      const met = connect(join(folder, shownHere!));
      await once(met, 'connect');
      met.destroy();
      expect(lock.owner.pid).toBe(process.pid);
    },
  );

  it.runIf(canUnshare)('that a kill left is that of one of two containers which take it at once', async () => {
    const module = await compile();
    const killed = new Other(module);
    const folders = Array.from({ length: 20 }, (_, index) => join(folder, String(index)));
    for (const each of folders) {
      await mkdir(each);
      expect(await killed.take(each)).toBe('held');
    }
    await killed.kill();
    const others = [new Other(module, inContainer), new Other(module, inContainer)];
    for (const each of folders) {
      const answers = await Promise.all(others.map((other) => other.take(each)));
      expect(answers.toSorted()).toEqual(['held', 'run_locked']);
    }
  });

  it.runIf(process.platform === 'linux')(
    'does not tell containers of itself where no disk of this machine is',
    async () => {
      const inMemory = await mkdtemp('/dev/shm/simmer-lock-');
      try {
        await using lock = await acquireRunLock(inMemory);
        expect(lock.owner).not.toHaveProperty('shownOn');
      } finally {
        await rm(inMemory, { recursive: true });
      }
    },
  );

  it.runIf(isOnDisk)('of a container that is gone is free under another host name', async () => {
    const killed = new Other(await compile());
    expect(await killed.take(folder)).toBe('held');
    const { shownOn } = (await readRunOwner(folder))!;
    // As another container of this kernel sees it, with names, processes and a network of its own.
    const away = { pid: 7, host: 'former', startedAt: '2026-01-01T00:00:00.000Z' };
    const refused = async (owner: object) => {
      await writeFile(join(folder, 'owner.json'), JSON.stringify(owner));
      await expect(acquireRunLock(folder)).rejects.toMatchObject({ code: 'run_locked' });
      expect(await readRunOwner(folder)).toMatchObject({ alive: true });
    };
    await refused({ ...away, shownOn });
    await killed.kill();
    await refused(away);
    await refused({ ...away, shownOn: `${shownOn}0` });
    await writeFile(join(folder, 'owner.json'), JSON.stringify({ ...away, shownOn }));
    expect(await readRunOwner(folder)).toMatchObject({ alive: false });
    await using lock = await acquireRunLock(folder);
    expect(lock.owner).toMatchObject({ pid: process.pid, shownOn });
  });

  it.runIf(process.platform === 'linux')(
    'clears what kills left of making it, and nothing that may be in use',
    async () => {
      const long = new Date(Date.now() - 120_000);
      const used = createServer().listen(join(folder, '.draft-used'));
      await once(used, 'listening');
      for (const name of ['.draft-left', '.draft-new', '.owner.json.new']) await writeFile(join(folder, name), '{');
      for (const name of ['.draft-left', '.draft-used']) await utimes(join(folder, name), long, long);
      const lock = await acquireRunLock(folder);
      await lock[Symbol.asyncDispose]();
      expect((await readdir(folder)).toSorted()).toEqual(['.draft-new', '.draft-used']);
      used.close();
      await once(used, 'close');
    },
  );

  it('of a process whose pid another has now, as after the restart of a container, is free', async () => {
    const owner = { pid: process.ppid, host: hostname(), startedAt: '2026-01-01T00:00:00.000Z', processStartTime: '1' };
    await writeFile(join(folder, 'owner.json'), JSON.stringify(owner));
    expect(await readRunOwner(folder)).toMatchObject({ alive: false });
    await using lock = await acquireRunLock(folder);
    expect(lock.owner.pid).toBe(process.pid);
  });

  it('is not that of a folder which was removed under its lock, though a new one could have its inode', async () => {
    const folders = Array.from({ length: 20 }, (_, index) => join(folder, String(index)));
    const locks = [];
    for (let round = 0; round < 2; round += 1) {
      for (const each of folders) await mkdir(each);
      for (const each of folders) locks.push(await acquireRunLock(each));
      for (const each of folders) await rm(each, { recursive: true });
    }
    for (const lock of locks) await lock[Symbol.asyncDispose]();
    expect(locks).toHaveLength(40);
  });

  it('takes over from an owner file that a crash left, or that is none', async () => {
    await writeFile(join(folder, 'owner.json'), '{"pid":');
    await using lock = await acquireRunLock(folder);
    expect(JSON.parse(await readFile(join(folder, 'owner.json'), 'utf8'))).toEqual(lock.owner);
    expect((await readdir(folder)).filter((name) => !name.startsWith('.lock'))).toEqual(['owner.json']);
  });

  it('of a folder that is not there is run_folder_missing', async () => {
    await expect(acquireRunLock(join(folder, 'none'))).rejects.toMatchObject({ code: 'run_folder_missing' });
    expect(await readRunOwner(join(folder, 'none'))).toBeUndefined();
  });
});
