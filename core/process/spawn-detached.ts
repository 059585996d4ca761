import { spawn } from 'node:child_process';
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

/**
 * Starts a process that outlives this one: in a session and process group of its own, with files instead of pipes, so
 * that neither Ctrl-C nor a closed terminal nor a killed core reaches it.
 * @throws UserError `program_not_found` where there is no such program
 */
export async function spawnDetached(options: {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
}): Promise<DetachedProcess> {
  const [program, ...args] = options.argv;
  if (program === undefined) throw new TypeError('argv is empty');
  await using stdout = await open(options.stdoutFile, 'a', 0o600);
  await using stderr = await open(options.stderrFile, 'a', 0o600);
  const child = spawn(program, args, {
    env: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: true,
    stdio: ['ignore', stdout.fd, stderr.fd],
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
  child.unref();
  return { pid: child.pid as number, exited };
}

/** What a spawn that failed means. */
export function spawnFailed(program: string, cause: Error): Error {
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
