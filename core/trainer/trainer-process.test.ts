import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { defineLauncher } from '../plugin/define.js';
import { silentLog } from '../plugin/log.js';
import type { ProcessExit } from '../process/spawn-detached.js';
import { GpuDevices, gpusFolder } from './gpu-devices.js';
import { TrainerProcess } from './trainer-process.js';

it('a trainer that is started and cannot be noted as the one that has its GPUs is ended', async () => {
  const folder = await temporaryFolder();
  let isEnded = false;
  const launcher = defineLauncher({
    description: '',
    options: z.strictObject({}),
    async launch() {
      // A file cannot take its place.
      const file = join(await gpusFolder(folder), 'held.json');
      await rm(file);
      await mkdir(join(file, 'full'), { recursive: true });
      const terminate = async (): Promise<void> => {
        isEnded = true;
      };
      return { pid: process.pid, exited: new Promise<ProcessExit>(() => {}), terminate };
    },
    attach: async () => undefined,
  });
  const started = TrainerProcess.start(
    {
      trainer: 'tuner',
      folder: join(folder, 'trainer'),
      launcher,
      launcherOptions: {},
      resources: { gpus: 1 },
      gpus: new GpuDevices(folder, ['0']),
      leaseSeconds: 60,
      handshakeMilliseconds: 60_000,
      signal: new AbortController().signal,
      log: silentLog,
    },
    { argv: ['trainer'], env: {} },
    1,
  );
  await expect(started).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST|directory/);
  expect(isEnded).toBe(true);
});
