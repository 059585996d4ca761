import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isServing } from './grpc-health.js';

test('nothing is waited for where the process that would answer is gone', { timeout: 10_000 }, async () => {
  const address = `unix:${join(tmpdir(), 'simmer-nobody.sock')}`;
  const asked = {
    address,
    service: 'simmer.trainer.v1.TrainerService',
    channelOptions: {},
    timeoutMilliseconds: 60_000,
  };
  expect(await isServing({ ...asked, gone: Promise.resolve() })).toBe(false);
});
