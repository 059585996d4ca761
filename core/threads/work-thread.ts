import { parentPort } from 'node:worker_threads';
import { toErrorRecord } from '../errors.js';
import { expectTypelessModules } from '../plugin/typeless-modules.js';
import { present } from '../present.js';
import type { Answer, DoTask, Order, StartTasks } from './do-in-threads.js';

/** One of the threads of `doInThreads`. */
let work: Promise<DoTask<unknown, unknown>> | undefined;
let last = Promise.resolve();
let givingUp = new AbortController();

parentPort?.on('message', (order: Order) => {
  if ('giveUp' in order) givingUp.abort();
  else if ('module' in order) {
    givingUp = new AbortController();
    work = startWork(order.module, order.settings, givingUp.signal);
  } else {
    const current = work as Promise<DoTask<unknown, unknown>>;
    last = last.then(async () => say(await answer(current, order.number, order.task)));
  }
});

function say(answer: Answer): void {
  parentPort?.postMessage(answer);
}

function startWork(module: string, settings: unknown, signal: AbortSignal): Promise<DoTask<unknown, unknown>> {
  expectTypelessModules();
  const started = import(module).then(({ start }: { readonly start: StartTasks<unknown, unknown, unknown> }) =>
    start(settings, (rows) => say({ rows }), signal),
  );
  // Told to whoever asks for a task.
  started.catch(() => {});
  return started;
}

async function answer(started: Promise<DoTask<unknown, unknown>>, number: number, task: unknown): Promise<Answer> {
  try {
    const act = await started;
    return { number, result: await act(task) };
  } catch (error) {
    const { code, path, syscall } = Object(error) as NodeJS.ErrnoException;
    return { number, error: { ...toErrorRecord(error), system: present({ code, path, syscall }) } };
  }
}
