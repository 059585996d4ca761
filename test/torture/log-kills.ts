import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Damage, Witness } from './log-witness.js';
import type { WriterMessage, WriterTask } from './log-writer.js';

const writer = fileURLToPath(new URL('./log-writer.js', import.meta.url));

/** Far beyond what a writer takes, also on a busy machine. */
const longestRunMilliseconds = 60_000;

/** When a writer dies. */
export type Death =
  | { readonly kind: 'never' }
  /** At its n-th write boundary, where it waits for that. */
  | { readonly kind: 'boundary'; readonly ordinal: number }
  /** Some time after it opened the log. */
  | { readonly kind: 'moment'; readonly afterMilliseconds: number };

/** How a writer ended, and what a power cut at that moment could take. */
export interface WriterEnd {
  readonly wasKilled: boolean;
  /** The boundary at which it was killed. */
  readonly boundary?: string;
  /** How far the log is sure to be on the disk; undefined where this writer synced nothing. */
  readonly syncedBytes?: number;
  /** Whether the file's name is sure to be on the disk, by this writer. */
  readonly isNamed: boolean;
}

/** Runs a writer in a process of its own, hears what it is promised, and kills it with SIGKILL. */
export async function runWriter(
  task: Omit<WriterTask, 'pauseAt'>,
  death: Death,
  witness: Witness,
  damage: Damage,
): Promise<WriterEnd> {
  const where = JSON.stringify(death);
  const { file, seed, steps } = task;
  const full: WriterTask = { file, seed, steps, ...(death.kind === 'boundary' ? { pauseAt: death.ordinal } : {}) };
  const child = spawn(process.execPath, [writer, JSON.stringify(full)], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const exited = once(child, 'exit');
  const watchdog = setTimeout(() => {
    damage.violation(where, 'the writer hangs');
    child.kill('SIGKILL');
  }, longestRunMilliseconds);
  let timer: NodeJS.Timeout | undefined;
  let syncedBytes: number | undefined;
  let boundary: string | undefined;
  let isNamed = false;
  let hasEnded = false;
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
    const message = parse(line);
    switch (message?.[0]) {
      case 'opened':
        witness.opened(message[1], damage, where);
        if (death.kind === 'moment') timer = setTimeout(() => child.kill('SIGKILL'), death.afterMilliseconds);
        break;
      case 'synced':
        syncedBytes = message[1];
        break;
      case 'named':
        isNamed = true;
        break;
      case 'acknowledged':
        witness.acknowledged(message[1], message[2], damage, where);
        break;
      case 'seen':
        witness.seen(message[1], message[2], damage, where);
        break;
      case 'paused':
        boundary = message[1];
        child.kill('SIGKILL');
        break;
      case 'ended':
        hasEnded = true;
        break;
    }
  }
  const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  clearTimeout(watchdog);
  const wasKilled = signal === 'SIGKILL';
  if (!wasKilled && (code !== 0 || !hasEnded)) damage.violation(where, `the writer ended with ${code ?? signal}`);
  if (wasKilled && death.kind === 'never') damage.violation(where, 'the writer was killed by somebody else');
  return {
    wasKilled,
    isNamed,
    ...(boundary === undefined ? {} : { boundary }),
    ...(syncedBytes === undefined ? {} : { syncedBytes }),
  };
}

export async function readLogBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** Undefined for the half of a message that a killed writer left. */
function parse(line: string): WriterMessage | undefined {
  try {
    return JSON.parse(line) as WriterMessage;
  } catch {
    return undefined;
  }
}
