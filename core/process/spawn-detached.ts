import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { UserError } from '../errors.js';

/** How a process ended. */
export interface ProcessExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface DetachedProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
}

export interface SpawnOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
}

/**
 * Starts a process that outlives this one: in a session and process group of its own, with files instead of pipes, so
 * that neither Ctrl-C nor a closed terminal nor a killed core reaches it.
 * @throws UserError `program_not_found` where there is no such program
 */
export async function spawnDetached(options: SpawnOptions): Promise<DetachedProcess> {
  const { child, exited } = await spawnWithFiles(options, 'ignore');
  child.unref();
  return { pid: child.pid as number, exited };
}

/** Starts a process in a group of its own, with files for what it writes. @throws UserError `program_not_found` */
export async function spawnWithFiles(
  options: SpawnOptions,
  stdin: 'ignore' | 'pipe',
): Promise<{ readonly child: ChildProcess; readonly exited: Promise<ProcessExit> }> {
  const [program, ...args] = options.argv;
  if (program === undefined) throw new TypeError('argv is empty');
  await using stdout = await open(options.stdoutFile, 'a', 0o600);
  await using stderr = await open(options.stderrFile, 'a', 0o600);
  const child = spawn(program, args, {
    env: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: true,
    stdio: [stdin, stdout.fd, stderr.fd],
  });
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(spawnFailed(program, cause)));
  });
  // An error after the start (a signal that could not be sent) is not one of the process's.
  child.on('error', () => {});
  return { child, exited };
}

/** What a spawn that failed means. */
function spawnFailed(program: string, cause: Error): Error {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code !== 'ENOENT' && code !== 'EACCES') return cause;
  return new UserError(
    'program_not_found',
    `Cannot start ${program}: ${code === 'ENOENT' ? 'not found' : 'not allowed'}.`,
    {
      kind: 'environment',
      hint: 'Check the path, and that it may be executed.',
      cause,
    },
  );
}
