import { UserError } from '../../errors.js';
import { longestTimer } from '../../process/longest-timer.js';
import type { PluginProcess } from './plugin-process.js';

/** A call that works for a stage. */
export interface StoppableCall {
  readonly callId: string;
  /** The run's: it stops the call. */
  readonly signal: AbortSignal;
  /** For messages: what the recipe calls the plugin. */
  readonly plugin: string;
  /** Resolves when nothing that it pays for is waited for any more; its time to stop begins then. */
  whenPaid?(): Promise<void>;
}

/**
 * Until what is returned is disposed of: asks a call to stop when the run stops, and kills its process where it does not,
 * or where its time is up.
 */
export function stopWith(process: PluginProcess, { callId, signal, plugin, whenPaid }: StoppableCall): Disposable {
  const { stageSeconds, stopSeconds } = process.limits;
  const end = (what: string, limit: string) => () => process.end(tooLong(plugin, what, limit));
  const timers = [
    setTimeout(
      end(`took longer than its limit of ${stageSeconds} seconds`, 'stageSeconds'),
      Math.min(stageSeconds * 1000, longestTimer),
    ),
  ];
  let isOver = false;
  const cancel = async () => {
    const reason = String(signal.reason?.message ?? 'stopped');
    void process.client.cancel(callId, reason, stopSeconds).catch(() => {});
    await whenPaid?.();
    if (isOver) return;
    const late = end(`did not stop within ${stopSeconds} seconds`, 'stopSeconds');
    timers.push(setTimeout(late, Math.min(stopSeconds * 1000, longestTimer)));
  };
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) void cancel();
  return {
    [Symbol.dispose]() {
      isOver = true;
      signal.removeEventListener('abort', cancel);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

function tooLong(plugin: string, what: string, limit: string): UserError {
  return new UserError('plugin_timed_out', `Plugin ${plugin} ${what}; it was killed.`, {
    kind: 'runFailed',
    hint: `Give it less to do, or raise \`limits.${limit}\` where the recipe lists it.`,
  });
}
