import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MemoryMeter } from './memory-meter.js';

/** Takes 200 MB and gives them back for each line that it reads, and answers with one. */
const peaking = `
process.stdin.on('data', () => {
  let memory = Buffer.alloc(200e6, 1);
  memory = undefined;
  gc();
  console.log('gone');
});
console.log('ready');
`;

let child: ReturnType<typeof spawn>;
beforeEach(async () => {
  // No look but those that are asked for.
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  child = spawn(process.execPath, ['--expose-gc', '--eval', peaking], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
});
afterEach(() => {
  vi.useRealTimers();
  child.kill('SIGKILL');
});

async function peak(): Promise<void> {
  child.stdin!.write('\n');
  await once(child.stdout!, 'data');
}

it.runIf(process.platform === 'linux')('knows a peak between two looks from the kernel', async () => {
  using meter = new MemoryMeter(() => [child.pid!]);
  expect(await meter.peakBytes()).toBeLessThan(200e6);
  await peak();
  expect(await meter.peakBytes()).toBeGreaterThan(200e6);
});

it('counts no peak from before it was made', async () => {
  await peak();
  using meter = new MemoryMeter(() => [child.pid!]);
  expect(await meter.peakBytes()).toBeLessThan(200e6);
});
