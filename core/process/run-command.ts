import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { signalGroup, terminateGroup } from './terminate.js';

export interface CommandResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  /** The last lines of stdout and stderr together. */
  readonly lastLines: readonly string[];
}

const graceMilliseconds = 1_000;

/**
 * Runs a short-lived program of ours to its end. With the signal it is ended, and with it all that it started: when this
 * rejects, none of them writes any more. `onLine` gets every line of both outputs.
 * @throws the spawn error where there is no such program; the signal's reason
 */
export async function runCommand(
  argv: readonly string[],
  options: {
    readonly signal: AbortSignal;
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly cwd?: string;
    onLine?(line: string): void;
  },
): Promise<CommandResult> {
  const { signal } = options;
  signal.throwIfAborted();
  const [program, ...args] = argv;
  if (program === undefined) throw new TypeError('argv is empty');
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a group of its own, which can be ended as one: "python -m venv" has a child that installs pip.
    detached: true,
  });
  const lines: string[] = [];
  const stdout: string[] = [];
  const take = (line: string) => {
    lines.push(line);
    if (lines.length > 40) lines.shift();
    options.onLine?.(line);
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    stdout.push(line);
    take(line);
  });
  createInterface({ input: child.stderr }).on('line', take);
  using _ending = child.pid === undefined ? undefined : endedWithUs(child.pid);
  let stop = () => {};
  return await new Promise<CommandResult>((resolve, reject) => {
    const exited = new Promise<void>((exit) => child.once('exit', () => exit()));
    stop = () => {
      if (child.pid === undefined) return;
      terminateGroup(child.pid, exited, graceMilliseconds).then(() => reject(signal.reason), reject);
    };
    signal.addEventListener('abort', stop, { once: true });
    child.once('error', reject);
    child.once('close', (exitCode, endedBy) => {
      if (signal.aborted) return;
      resolve({
        exitCode,
        signal: endedBy,
        stdout: stdout.join('\n'),
        lastLines: lines.filter((line) => line.trim() !== ''),
      });
    });
  }).finally(() => signal.removeEventListener('abort', stop));
}

/** Ids of the groups of what runs now. */
const groups = new Set<number>();
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Until it is disposed of, a signal that ends this process ends the group, too: a terminal sends it to our own alone. */
function endedWithUs(group: number): Disposable {
  if (groups.size === 0) for (const signal of endingSignals) process.on(signal, endAll);
  groups.add(group);
  return {
    [Symbol.dispose]() {
      groups.delete(group);
      if (groups.size === 0) for (const signal of endingSignals) process.off(signal, endAll);
    },
  };
}

function endAll(signal: NodeJS.Signals): void {
  // Whoever else heeds it says what is to end.
  if (process.listenerCount(signal) > 1) return;
  for (const group of groups) signalGroup(group, 'SIGTERM');
  process.off(signal, endAll);
  process.kill(process.pid, signal);
}
