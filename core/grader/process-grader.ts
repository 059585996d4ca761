import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { TrainerCommand } from '../plugin/definitions.js';
import { lastLines } from '../process/file-tail.js';
import { describeExit, waitForHandshake } from '../process/handshake.js';
import { makeSocketFolder, removeSocketFolder } from '../process/socket-folder.js';
import { spawnAttended } from '../process/spawn-attended.js';
import type { ProcessExit } from '../process/spawn-detached.js';
import { endsWithin, terminateGroup } from '../process/terminate.js';
import type { Grade, GradeItem, Grader } from '../trainer/trainer.js';
import { gradeBatches } from './grade-batches.js';
import type { GraderClient } from './grader-client.js';

/** Small enough that little is lost when the process dies, large enough that calls cost nothing. */
const itemsPerCall = 128;
const handshakeMilliseconds = 60_000;

export interface ProcessGraderOptions {
  /** For messages. */
  readonly name: string;
  /** Starts a process that serves simmer.grader.v1. */
  readonly command: TrainerCommand;
  /** Hard limit for one item, kept by the process: of its processor time, if it can tell that. @default 10000 */
  readonly itemMilliseconds?: number;
  readonly signal: AbortSignal;
}

/**
 * A grader in a process of its own, which ends with this one. Where it dies or hangs, it is started again and asked once
 * more for what it had not answered.
 * @throws UserError `handshake_failed`, `program_not_found`
 */
export async function startProcessGrader(options: ProcessGraderOptions): Promise<Grader & AsyncDisposable> {
  let running = await GraderProcess.start(options);
  let turn: Promise<unknown> = Promise.resolve();

  const gradeSome = async (items: readonly GradeItem[], signal?: AbortSignal): Promise<readonly Grade[]> => {
    const { GraderLostError } = await import('./grader-client.js');
    for (let attempt = 1; ; attempt++) {
      try {
        return await running.grade(items, signal);
      } catch (error) {
        if (!(error instanceof GraderLostError)) throw error;
        const failure = await running.failure(error.message);
        await running.stop();
        if (attempt === 2) throw failure;
        running = await GraderProcess.start(options);
      }
    }
  };

  return {
    /** One call at a time: a restart must not take the process from another's hands. */
    grade(items, signal) {
      const result = turn.then(async () => {
        const grades: Grade[] = [];
        for (const some of gradeBatches(items, itemsPerCall)) {
          signal?.throwIfAborted();
          grades.push(...(await gradeSome(some, signal)));
        }
        return grades;
      });
      turn = result.catch(() => {});
      return result;
    },
    async [Symbol.asyncDispose]() {
      await turn;
      await running.stop();
    },
  };
}

class GraderProcess {
  private constructor(
    private readonly options: ProcessGraderOptions,
    private readonly folder: string,
    private readonly process: { readonly pid: number; readonly exited: Promise<ProcessExit>; closeStdin(): void },
    private readonly client: GraderClient,
  ) {}

  static async start(options: ProcessGraderOptions): Promise<GraderProcess> {
    const folder = await makeSocketFolder();
    const stdoutFile = join(folder, 'stdout.log');
    const stderrFile = join(folder, 'stderr.log');
    try {
      const child = await spawnAttended({
        argv: options.command.argv,
        env: {
          ...process.env,
          ...options.command.env,
          SIMMER_GRADER_ADDRESS: `unix:${join(folder, 'grader.sock')}`,
        },
        stdoutFile,
        stderrFile,
      });
      try {
        const address = await waitForHandshake({
          prefix: 'SIMMER-GRADER',
          protocolVersion: 1,
          what: `grader ${options.name}`,
          stdoutFile,
          stderrFile,
          exited: child.exited,
          timeoutMilliseconds: handshakeMilliseconds,
          signal: options.signal,
        });
        // gRPC takes long to load: only where a process grader is used.
        const { GraderClient } = await import('./grader-client.js');
        const client = new GraderClient(address);
        const grader = new GraderProcess(options, folder, child, client);
        if (!(await client.isHealthy(10_000))) throw await grader.failure('it listens, but does not serve');
        return grader;
      } catch (error) {
        await terminateGroup(child.pid, child.exited, 1_000);
        throw error;
      }
    } catch (error) {
      await removeSocketFolder(join(folder, 'grader.sock'));
      throw error;
    }
  }

  grade(items: readonly GradeItem[], signal?: AbortSignal): Promise<readonly Grade[]> {
    const itemMilliseconds = this.options.itemMilliseconds ?? 10_000;
    // The process keeps the limit of each item itself, in processor time, which may be longer on a busy machine; this is for
    // one that cannot any more.
    const deadlineMilliseconds = items.length * 2 * itemMilliseconds + 30_000;
    return this.client.grade(items, {
      itemMilliseconds,
      deadlineMilliseconds,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Why it does not answer, with the end of its stderr. */
  async failure(reason: string): Promise<UserError> {
    let exit: ProcessExit | undefined;
    await endsWithin(
      this.process.exited.then((value) => {
        exit = value;
      }),
      500,
    );
    const how = exit === undefined ? reason : `it ended with ${describeExit(exit)}`;
    const lines = (await lastLines(join(this.folder, 'stderr.log'), 12)).map((line) => `\n  ${line}`).join('');
    return new UserError('grader_exited', `The grader ${this.options.name} failed twice: ${how}.${lines}`, {
      kind: 'runFailed',
      hint: 'Resume the run. If it fails again at once, one of the answers breaks it.',
    });
  }

  async stop(): Promise<void> {
    this.client.close();
    this.process.closeStdin();
    if (!(await endsWithin(this.process.exited, 2_000))) {
      await terminateGroup(this.process.pid, this.process.exited, 1_000);
    }
    await removeSocketFolder(join(this.folder, 'grader.sock'));
  }
}
