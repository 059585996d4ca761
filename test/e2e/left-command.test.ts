import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isAlive, processIdentity } from '../../core/process/process-identity.js';
import { root } from '../python/check-python.js';
import { temporaryFolder } from '../temporary-folder.js';

/** Runs commands that take long, as where an environment is made for a plan; each writes its process id. */
const script = (pids: readonly string[]) => `
import { runCommand } from ${JSON.stringify(join(root, 'dist/core/process/run-command.js'))};
const { signal } = new AbortController();
for (const file of ${JSON.stringify(pids)}) void runCommand(['sh', '-c', 'echo $$ > "$0"; sleep 1000; true', file], { signal });
`;

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'commands end with a process that ends by %s, which a terminal sends to no group but its own',
  async (signal) => {
    const folder = await temporaryFolder();
    const files = ['one', 'other'].map((name) => join(folder, name));
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script(files)], { detached: true });
    const read = async () => await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
    await expect
      .poll(read, { timeout: 30_000 })
      .toEqual([expect.stringMatching(/^\d+\n/), expect.stringMatching(/^\d+\n/)]);
    const started = await Promise.all((await read()).map((pid) => processIdentity(Number(pid))));
    process.kill(-child.pid!, signal);
    expect(await once(child, 'exit')).toEqual([null, signal]);
    for (const identity of started) await expect.poll(() => isAlive(identity!)).toBe(false);
  },
);
