import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Event } from 'simmerkit';

export interface CoreProcessOptions {
  /** Compiled module of the program. It writes each event that a sink got on stdout. */
  readonly program: string;
  readonly home: string;
  /** Of the run to take up; a new one where it is left out. */
  readonly runId?: string | undefined;
  /** For temporary folders that a killed process leaves behind. */
  readonly temporaryFolder: string;
  /** What else the program is told. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Looks at each event; the core is killed once it says so, after so many milliseconds. */
  killAfter(event: Event): number | undefined;
}

/**
 * Runs a core in a process of its own until it is killed, or ends. Returns the events that it acknowledged to a sink.
 * @throws Error with what it wrote to stderr
 */
export async function killedCore(options: CoreProcessOptions): Promise<readonly Event[]> {
  const { program, home, runId, temporaryFolder } = options;
  const core = spawn(process.execPath, [program, home, ...(runId === undefined ? [] : [runId])], {
    env: { ...process.env, ...options.environment, TMPDIR: temporaryFolder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const events: Event[] = [];
  let errors = '';
  core.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  let timer: NodeJS.Timeout | undefined;
  createInterface(core.stdout).on('line', (line) => {
    const event = JSON.parse(line) as Event;
    events.push(event);
    const milliseconds = timer === undefined ? options.killAfter(event) : undefined;
    if (milliseconds !== undefined) timer = setTimeout(() => core.kill('SIGKILL'), milliseconds);
  });
  await new Promise<void>((resolve) => {
    core.once('close', () => resolve());
  });
  clearTimeout(timer);
  if (errors !== '') throw new Error(`the core wrote to stderr: ${errors}`);
  return events;
}
