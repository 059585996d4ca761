import { setImmediate, setTimeout } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { endsWithin } from '../../process/terminate.js';
import { processLimits } from './limits.js';
import type { PluginProcess } from './plugin-process.js';
import { stopWith } from './stop-with.js';

const monthInSeconds = 30 * 24 * 3600;

it('gives a plugin a month to stop where its limit says so, longer than a timer of Node can wait', async () => {
  const end = vi.fn();
  const limits = processLimits({ stopSeconds: monthInSeconds }, {}, 2 ** 30);
  const client = { cancel: () => Promise.resolve() };
  const plugin = { limits, client, end } as unknown as PluginProcess;
  using _ = stopWith(plugin, { callId: 'call', signal: AbortSignal.abort(), plugin: 'mine' });
  const process = endsWithin(setTimeout(20), monthInSeconds * 1000);
  await setTimeout(10);
  await setImmediate();
  expect(end).not.toHaveBeenCalled();
  expect(await process).toBe(true);
});

it.each([
  ['stopSeconds', { stopSeconds: 0.01 }],
  ['stageSeconds', { stageSeconds: 0.01 }],
])('names the limit that a plugin has passed: %s', async (name, given) => {
  const ended = new Promise<Error>((resolve) => {
    const client = { cancel: () => Promise.resolve() };
    const plugin = { limits: processLimits(given, {}, 2 ** 30), client, end: resolve } as unknown as PluginProcess;
    stopWith(plugin, { callId: 'call', signal: AbortSignal.abort(), plugin: 'mine' });
  });
  expect(await ended).toMatchObject({ code: 'plugin_timed_out', hint: expect.stringContaining(`limits.${name}`) });
});
