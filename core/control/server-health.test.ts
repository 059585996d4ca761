import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { ServedHome } from './served-home.js';
import { serveHealth } from './server-health.js';

let folder: string;
let home: ServedHome;
const told = vi.spyOn(HealthImplementation.prototype, 'setStatus');
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const root = await temporaryFolder();
  folder = join(root, 'home');
  await mkdir(folder);
  home = await ServedHome.of(root, folder);
  told.mockClear();
});
afterEach(() => void vi.useRealTimers());

async function look(): Promise<readonly unknown[]> {
  vi.advanceTimersByTime(1000);
  // Whoever asks later is answered later.
  await home.isThere();
  return told.mock.calls.splice(0).map(([name, status]) => `${name} ${status}`);
}

it('who watches a server is told when its home goes and when it is back, and nothing in between', async () => {
  serveHealth(new Server(), 'simmer', home, new AbortController().signal);
  expect(await look()).toEqual([]);
  await rename(folder, `${folder}.away`);
  expect(await look()).toEqual(['simmer NOT_SERVING', ' NOT_SERVING']);
  expect(await look()).toEqual([]);
  await rename(`${folder}.away`, folder);
  expect(await look()).toEqual(['simmer SERVING', ' SERVING']);
  expect(await look()).toEqual([]);
});

it('a server that was too busy to see that its home is there is serving', async () => {
  serveHealth(new Server(), 'simmer', home, new AbortController().signal);
  // When timers are due, no answer of the system was seen yet.
  await new Promise((due) => setTimeout(due));
  vi.advanceTimersByTime(1000);
  // The system is asked by now.
  await new Promise((asked) => process.nextTick(asked));
  // A plan of thousands of stages: what the system answers meanwhile is seen only then.
  for (const end = performance.now() + 200; performance.now() < end; );
  expect(await look()).toEqual([]);
});
