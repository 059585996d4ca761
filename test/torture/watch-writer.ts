import { join } from 'node:path';
import { createRunFolder, eventsFile } from '../../core/engine/run-folder.js';
import { EventBus } from '../../core/events/event-bus.js';
import { RunLog } from '../../core/events/run-log.js';
import { acquireRunLock } from '../../core/process/run-lock.js';
import type { WatchTask } from './watch-task.js';

/** A process of its own: writes a run's log as a core does, at a steady rate, one event in ten a fact. */
const task = JSON.parse(process.argv[2] ?? '') as WatchTask;
const plan = {
  format: 1,
  recipe: 'torture',
  simmerVersion: '0.0.0',
  seed: 1,
  params: {},
  recipeFolder: task.home,
  plugins: {},
  trainers: {},
  sinks: [],
  stages: [],
} as const;
const { runId, runFolder } = await createRunFolder(join(task.home, 'runs'), { plan, recipeText: '' });
const lock = await acquireRunLock(runFolder);
const { log, lastSequence } = await RunLog.open(eventsFile(runFolder));
const bus = new EventBus({ runId, log, lastSequence });
process.send?.({ runId });

const startedAt = performance.now();
// One is there already, and one more ends the run.
const total = task.events - 2;
for (let written = 0; written < total; ) {
  const due = Math.min(total, Math.ceil(((performance.now() - startedAt) / 1000) * task.rate));
  let last: Promise<unknown> = Promise.resolve();
  for (; written < due; written++) {
    last = bus.emit(
      written % 10 === 0
        ? { type: 'metric.measured', data: { name: `m${written % 1000}`, value: written } }
        : { type: 'stage.progressed', stage: 'tuned', attempt: 1, data: { done: written, total, unit: 'steps' } },
    );
  }
  await last;
  await new Promise((resolve) => setTimeout(resolve, 2));
}
const seconds = (performance.now() - startedAt) / 1000;
await bus.emit({ type: 'run.completed', data: { runId, reportPath: null, metrics: {}, outputs: {}, seconds } });
await bus.close();
await lock[Symbol.asyncDispose]();
process.send?.({ seconds }, () => process.disconnect());
