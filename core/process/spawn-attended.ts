import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { DetachedProcess, ProcessExit } from './spawn-detached.js';
import { spawnFailed } from './spawn-detached.js';

/**
 * Starts a process that must not outlive this one: its stdin is a pipe that closes when this process ends, however it
 * ends. It is in a group of its own, so that Ctrl-C reaches only us.
 * @throws UserError `program_not_found`
 */
export async function spawnAttended(options: {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
}): Promise<DetachedProcess & { closeStdin(): void }> {
  const [program, ...args] = options.argv;
  if (program === undefined) throw new TypeError('argv is empty');
  await using stdout = await open(options.stdoutFile, 'a', 0o600);
  await using stderr = await open(options.stderrFile, 'a', 0o600);
  const child = spawn(program, args, {
    env: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: true,
    stdio: ['pipe', stdout.fd, stderr.fd],
  });
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(spawnFailed(program, cause)));
  });
  child.on('error', () => {});
  const stdin = child.stdin as Socket;
  // It may end before its stdin is closed.
  stdin.on('error', () => {});
  child.unref();
  stdin.unref();
  return { pid: child.pid as number, exited, closeStdin: () => void stdin.end() };
}
