import { Worker } from 'node:worker_threads';

/** A thread takes some 0.3 s of processor time to load what it works with: the stages of a run take over each other's. */
const keptMilliseconds = 10_000;

const idle: { readonly thread: Worker; readonly ending: NodeJS.Timeout; readonly forget: () => void }[] = [];

/** A thread that waits for orders; whoever takes it gives it back with `keepThreads`, or ends it. */
export function lendThread(): Worker {
  const kept = idle.pop();
  if (kept === undefined) return new Worker(new URL('./work-thread.js', import.meta.url));
  clearTimeout(kept.ending);
  kept.thread.off('error', kept.forget);
  kept.thread.ref();
  return kept.thread;
}

/** Keeps threads that have nothing to do for a while. They hold up no process that ends. */
export function keepThreads(threads: readonly Worker[]): void {
  for (const thread of threads) {
    const forget = () => {
      const at = idle.findIndex((one) => one.thread === thread);
      if (at >= 0) clearTimeout(idle.splice(at, 1)[0]?.ending);
    };
    const end = () => {
      forget();
      void thread.terminate();
    };
    thread.on('error', forget);
    thread.unref();
    idle.push({ thread, forget, ending: setTimeout(end, keptMilliseconds).unref() });
  }
}
