import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeSocketFolder } from '../process/socket-folder.js';
import { FakeTrainerServer } from '../testing/fake-trainer/fake-trainer-server.js';
import type { GenerationRequest } from './trainer.js';
import { TrainerClient } from './trainer-client.js';
import { TrainerLostError } from './trainer-errors.js';

let folder: string;
let server: FakeTrainerServer;
let client: TrainerClient;
beforeEach(async () => {
  folder = await makeSocketFolder();
  const started = await FakeTrainerServer.start({
    address: `unix:${join(folder, 't.sock')}`,
    folder: await mkdtemp(join(folder, 'state-')),
    leaseSeconds: 60,
    // Long samples, so that the windows of HTTP/2 hold only a few.
    misbehavior: { wordsPerSample: 3000 },
  });
  server = started.server;
  client = new TrainerClient('student', started.address);
});
afterEach(async () => {
  client.close();
  await server.stop('the test is over');
  await rm(folder, { recursive: true, force: true });
});

const request: GenerationRequest = {
  model: { kind: 'random', config: {}, seed: 1 },
  prompts: Array.from({ length: 150 }, (_, index) => ({
    id: String(index),
    prompt: { kind: 'text', text: `${index}` },
  })),
  sampling: { temperature: 0, maxAnswerTokens: 16, stop: [], seed: 1, samples: 1 },
  thinkingFormat: { start: '<', end: '>', finalAnswerPrompt: 'Final Answer:' },
  policies: [],
};

it('lets the trainer get a megabyte ahead, and holds it back while nobody pulls', async () => {
  const events = client.generate(request, request.prompts)[Symbol.asyncIterator]();
  await events.next();
  // Of 30 KB each: with the window that HTTP/2 begins with, sockets and streams hold as many.
  await expect.poll(() => server.samplesWritten).toBeGreaterThan(30);
  let before = -1;
  // Until the trainer makes no headway any more.
  for (let rounds = 0; rounds < 100 && before !== server.samplesWritten; rounds++) {
    before = server.samplesWritten;
    await sleep(100);
  }
  expect(server.samplesWritten).toBeLessThan(75);

  let rest = 1;
  for (let next = await events.next(); !next.done; next = await events.next()) {
    if (next.value.kind === 'sample') rest += 1;
  }
  expect(rest).toBe(150);
});

it('tells a lost trainer from one that refuses', async () => {
  const gone = new TrainerClient('student', `unix:${join(folder, 'nobody.sock')}`);
  await expect(gone.describe()).rejects.toBeInstanceOf(TrainerLostError);
  expect(await gone.isHealthy(300)).toBe(false);
  gone.close();
  const cancel = client.cancel('unknown', { checkpointFirst: false, seconds: 5 });
  await expect(cancel).rejects.toMatchObject({ code: 'trainer_refused' });
  const events = client.watch('unknown', 0);
  await expect(events.next()).rejects.toMatchObject({
    code: 'trainer_refused',
    message: expect.stringContaining('unknown'),
  });
  expect(await client.isHealthy(1000)).toBe(true);
});
