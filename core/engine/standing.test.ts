import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event } from '../events/catalogue.js';
import { formatEventLine } from '../events/run-log.fixture.js';
import { RunLog } from '../events/run-log.js';
import { Standing } from './standing.js';

/** A run whose trainer has logged so many steps, with a checkpoint at every hundredth. */
function training(steps: number): string {
  const lines: string[] = [];
  const add = (event: object) =>
    lines.push(
      formatEventLine({ runId: 'r', sequence: lines.length + 1, time: '2026-01-01T00:00:00.000Z', ...event } as Event),
    );
  const where = { stage: 'tuned', attempt: 1 };
  let trainerEvent = 0;
  add({ type: 'trainer.started', data: { trainer: 'student', pid: 7, address: 'unix:a', start: 3 } });
  const started = { trainerEvent: ++trainerEvent, attemptId: 'one', totalSteps: steps };
  add({ type: 'training.started', ...where, data: started });
  for (let step = 1; step <= steps; step++) {
    add({
      type: 'step.logged',
      ...where,
      data: { trainerEvent: ++trainerEvent, step, totalSteps: steps, loss: 1 / step },
    });
    if (step % 100 === 0) add({ type: 'checkpoint.saved', ...where, data: { trainerEvent: ++trainerEvent, step } });
  }
  return lines.map((line) => `${line}\n`).join('');
}

it('of a trainer, what a run that goes on remembers does not grow with the steps that were logged', async () => {
  const sizes: number[] = [];
  for (const steps of [250, 20_050]) {
    const file = join(await temporaryFolder(), 'events.jsonl');
    await writeFile(file, training(steps));
    const standing = new Standing(['student']);
    const { log } = await RunLog.open(file, { onRead: (events) => standing.see(events) });
    await log.close();
    const memory = standing.trainerMemory.get('student');
    expect(memory).toMatchObject({ starts: 3, running: { pid: 7 } });
    expect(memory?.attempt('one')).toMatchObject({ lastNumber: 1 + steps + Math.floor(steps / 100), ended: false });
    expect([memory?.lossOf('tuned', steps - 50), memory?.lossOf('tuned', steps)]).toEqual([undefined, 1 / steps]);
    sizes.push(serialize([standing.state, standing.trainerMemory]).length);
  }
  expect(sizes[1]! - sizes[0]!).toBeLessThan(100);
});
