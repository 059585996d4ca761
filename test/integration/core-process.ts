import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Event } from 'simmerkit';
import { RunHarness, type RunHarnessOptions } from 'simmerkit/testing';

/** What a core in a process of its own runs, and with what. */
type Core = Omit<RunHarnessOptions, 'home'> & { readonly recipe: string };

/** In the environment of a core: the step of a training with which it kills itself. */
const killAtStep = 'KILL_AT_STEP';

/**
 * Where the module is what Node was started with, `node MODULE HOME [RUN_ID]`: starts or takes up a run in a home and writes
 * each event that a sink got, one a line, on stdout.
 */
export async function runCore({ filename }: ImportMeta, core: () => Core): Promise<void> {
  const [program, home, runId] = process.argv.slice(1);
  if (home === undefined || program === undefined || basename(program) !== basename(filename)) return;
  const { recipe, ...options } = core();
  await using harness = await RunHarness.create({ ...options, home });
  const last = Number(process.env[killAtStep] ?? Number.POSITIVE_INFINITY);
  const onEvent = (event: Event) => {
    // Synchronous: what was written is in the pipe, however soon the process is killed.
    writeSync(1, `${JSON.stringify(event)}\n`);
    if (event.type === 'step.logged' && event.data.step >= last) process.kill(process.pid, 'SIGKILL');
  };
  const sinks = [{ onEvent }];
  const handle =
    runId === undefined ? await harness.start(recipe, { sinks }) : await harness.manager.resume(runId, { sinks });
  await handle.finished;
}

export interface CoreProcessOptions {
  /** Compiled module that calls `runCore`. */
  readonly program: string;
  readonly home: string;
  /** Of the run to take up; a new one where it is left out. */
  readonly runId?: string | undefined;
  /** For temporary folders that a killed process leaves behind. */
  readonly temporaryFolder: string;
  /** What else the program is told. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The core is killed by itself as it logs this step: whoever reads of it may come too late on a busy machine. */
  readonly killAtStep?: number;
  /** Looks at each event; the core is killed once it says so, after so many milliseconds. */
  readonly killAfter?: ((event: Event) => number | undefined) | undefined;
}

/**
 * Runs a core in a process of its own until it is killed, or ends. Returns the events that it acknowledged to a sink.
 * @throws Error with what it wrote to stderr
 */
export async function killedCore(options: CoreProcessOptions): Promise<readonly Event[]> {
  const { program, home, runId, temporaryFolder } = options;
  const core = spawn(process.execPath, [program, home, ...(runId === undefined ? [] : [runId])], {
    env: {
      ...process.env,
      // On a busy machine the next core may come late: a trainer of this one waits for it.
      SIMMER_LEASE_SECONDS: '600',
      ...options.environment,
      TMPDIR: temporaryFolder,
      ...(options.killAtStep === undefined ? {} : { [killAtStep]: String(options.killAtStep) }),
    },
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
    const milliseconds = timer === undefined ? options.killAfter?.(event) : undefined;
    if (milliseconds !== undefined) timer = setTimeout(() => core.kill('SIGKILL'), milliseconds);
  });
  await new Promise<void>((resolve) => {
    core.once('close', () => resolve());
  });
  clearTimeout(timer);
  if (errors !== '') throw new Error(`the core wrote to stderr: ${errors}`);
  return events;
}
