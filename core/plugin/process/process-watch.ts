import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../errors.js';
import { formatBytes } from '../../figures.js';
import { residentMemoryBytes } from '../../process/memory.js';
import type { ProcessLimits } from './limits.js';
import type { PluginClient } from './plugin-client.js';

const lookMilliseconds = 200;
const healthMilliseconds = 5_000;
/** A process that writes more than this says nothing that anybody will read. */
const outputBytes = 64 * 2 ** 20;

/** A process that is held to its limits. */
export interface WatchedProcess {
  readonly pid: number;
  readonly plugin: string;
  readonly limits: ProcessLimits;
  /** Files that it writes its output to. */
  readonly outputFiles: readonly string[];
}

/**
 * Looks, until the signal is aborted, at what memory a process and its children have and how much it writes: five times a
 * second, so that a peak between two looks is missed.
 * @returns what it did wrong; undefined once the signal is aborted
 */
export async function watchUse(process: WatchedProcess, signal: AbortSignal): Promise<UserError | undefined> {
  const { pid, plugin, limits, outputFiles } = process;
  while (!signal.aborted) {
    const memory = await residentMemoryBytes([pid]);
    if (memory > limits.memory) {
      return new UserError(
        'plugin_over_memory',
        `Plugin ${plugin} used ${formatBytes(memory)} of memory, its limit is ${formatBytes(limits.memory)}; it was killed.`,
        {
          kind: 'runFailed',
          hint: 'Give it less to do at a time, or raise `limits.memory` where the recipe lists it.',
        },
      );
    }
    for (const file of outputFiles) {
      if (((await stat(file).catch(() => undefined))?.size ?? 0) <= outputBytes) continue;
      return new UserError(
        'plugin_floods_output',
        `Plugin ${plugin} wrote more than ${formatBytes(outputBytes)} to its stdout or stderr; it was killed.`,
        { kind: 'runFailed', hint: 'Its log is for people: it should say less.' },
      );
    }
    await pause(lookMilliseconds, signal);
  }
  return undefined;
}

/** Asks, until the signal is aborted, whether a process still answers. @returns as `watchUse` */
export async function watchHealth(
  { plugin, limits }: WatchedProcess,
  client: PluginClient,
  signal: AbortSignal,
): Promise<UserError | undefined> {
  const every = Math.min(healthMilliseconds, limits.answerSeconds * 1000);
  while (!signal.aborted) {
    await pause(every, signal);
    if (signal.aborted || (await client.isHealthy(limits.answerSeconds * 1000))) continue;
    return new UserError(
      'plugin_hung',
      `Plugin ${plugin} has not answered for ${limits.answerSeconds} seconds; it was killed.`,
      {
        kind: 'runFailed',
        hint: 'It must answer health checks while it works; `limits.answerSeconds` of its entry in the recipe says how soon.',
      },
    );
  }
  return undefined;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
}
