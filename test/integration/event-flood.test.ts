import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeSocketFolder } from '../../core/process/socket-folder.js';
import { TrainerClient } from '../../core/trainer/trainer-client.js';
import { builtModule } from './built-module.js';

const sender = builtModule('test/bench/events-sender.ts');

it('lets other work have its turn while a trainer sends more events than can be taken in', async () => {
  const folder = await makeSocketFolder();
  const address = `unix:${join(folder, 'trainer.sock')}`;
  const env = { ...process.env, SIMMER_TRAINER_ADDRESS: address };
  const trainer = spawn(process.execPath, [sender, '40000,256'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const client = new TrainerClient('sender', address);
  try {
    await once(trainer.stdout, 'data');
    let events = 0;
    let inTurn = 0;
    let mostInTurn = 0;
    const turn = () => {
      mostInTurn = Math.max(mostInTurn, inTurn);
      inTurn = 0;
      turns = setImmediate(turn);
    };
    let turns = setImmediate(turn);
    for await (const batch of client.watch('bench', 0)) {
      events += batch.length;
      inTurn += batch.length;
      // As long as it takes to record them, and the trainer to send more.
      const until = performance.now() + 2;
      while (performance.now() < until);
    }
    clearImmediate(turns);
    expect(events).toBe(40_001);
    expect(mostInTurn).toBeLessThanOrEqual(1024);
  } finally {
    client.close();
    trainer.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
});
