import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandResult {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  /** The last lines of stdout and stderr together. */
  readonly lastLines: readonly string[];
}

/**
 * Runs a short-lived program of ours to its end; it ends with the signal. `onLine` gets every line of both outputs.
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
    signal,
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
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(signal.aborted ? signal.reason : error));
    child.once('close', (exitCode, ended) => {
      if (signal.aborted) return reject(signal.reason);
      resolve({
        exitCode,
        signal: ended,
        stdout: stdout.join('\n'),
        lastLines: lines.filter((line) => line.trim() !== ''),
      });
    });
  });
}
