import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { type ProcessIdentity, processIdentity } from '../process/process-identity.js';
import { GpuDevices, gpusFolder, gpusHere } from './gpu-devices.js';

const host = vi.hoisted(() => ({ name: 'laptop' }));
vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  hostname: () => host.name,
}));

let cache: string;
beforeEach(async () => {
  cache = await temporaryFolder();
});

const { signal } = new AbortController();
/** As each core of the machine has it. */
const core = (devices = ['0', '1', '2']) => new GpuDevices(cache, devices);
const claim = async (count: number, devices?: string[]) => {
  const claimed = await core(devices).claim(count, signal);
  if (claimed === undefined) throw new Error('there is no claim');
  return claimed;
};

/** A process as trainers are. */
async function trainer(): Promise<ProcessIdentity & { end(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  const identity = await processIdentity(child.pid as number);
  if (identity === undefined) throw new Error('the process is gone');
  const end = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { ...identity, end };
}

describe('GPUs of a machine', () => {
  it('are given to one trainer each, whichever core starts it, and again when it has ended', async () => {
    const [one, other] = [await trainer(), await trainer()];
    const first = await claim(1);
    await first.passTo(one);
    const second = await claim(2);
    await second.passTo(other);
    expect([first, second]).toMatchObject([
      { devices: ['0'], shared: [] },
      { devices: ['1', '2'], shared: [] },
    ]);
    await one.end();
    expect(await claim(1)).toMatchObject({ devices: ['0'], shared: [] });
  });

  it('are never given twice where many start at the same time', async () => {
    const claims = await Promise.all(Array.from({ length: 8 }, () => claim(1, [...'01234567'])));
    expect(claims.flatMap(({ devices }) => devices).toSorted()).toEqual([...'01234567']);
    expect(claims.every(({ shared }) => shared.length === 0)).toBe(true);
  });

  it('are shared where none is free, which is told', async () => {
    await (await claim(2)).passTo(await trainer());
    expect(await claim(2)).toMatchObject({ devices: ['2', '0'], shared: ['0'] });
  });

  it('are shared by as few as can be', async () => {
    const devices: (readonly string[])[] = [];
    for (let index = 0; index < 5; index += 1) {
      const claimed = await claim(1, ['0', '1']);
      await claimed.passTo(await trainer());
      devices.push(claimed.devices);
    }
    expect(devices).toEqual([['0'], ['1'], ['0'], ['1'], ['0']]);
  });

  it('stay taken where the machine is called otherwise meanwhile', async () => {
    const first = await claim(1);
    host.name = 'laptop.local';
    expect([first.devices, (await claim(1)).devices]).toEqual([['0'], ['1']]);
  });

  it('are free again where a trainer did not start', async () => {
    const [first, second] = [await claim(1), await claim(1)];
    await first.drop();
    expect([second.devices, (await claim(1)).devices]).toEqual([['1'], ['0']]);
  });

  it('are not given where this machine is not known to have so many, or none is wanted', async () => {
    expect(await core().claim(4, signal)).toBeUndefined();
    expect(await core().claim(0, signal)).toBeUndefined();
  });

  it.each(['[{"dev', '{}', '[null]', '[{"device":"GPU-8f2c"}]'])(
    'are given although who has which is damaged: %s',
    async (content) => {
      await claim(1);
      await writeFile(join(await gpusFolder(cache), 'held.json'), content);
      expect(await claim(1, ['GPU-8f2c'])).toMatchObject({ devices: ['GPU-8f2c'], shared: [] });
    },
  );

  it('of several machines are counted for this one', () => {
    expect([gpusHere({ gpus: 16, nodes: 2 }), gpusHere({ gpus: 3 }), gpusHere({})]).toEqual([8, 3, 0]);
  });
});
