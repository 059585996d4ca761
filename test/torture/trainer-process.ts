import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { waitForHandshake } from '../../core/process/handshake.js';
import { makeSocketFolder, removeSocketFolder } from '../../core/process/socket-folder.js';
import { type ProcessExit, spawnDetached } from '../../core/process/spawn-detached.js';
import { TrainerClient } from '../../core/trainer/trainer-client.js';
import { root } from '../python/check-python.js';
import { trainerPython } from '../python/trainer-script.js';

/** How a trainer's process is made: `fork` of one that has imported torch already, or `python -m simmer_trainer`. */
export type StartKind = 'fork' | 'program';

/** Where a trainer shall stand still, to be killed there. */
interface Pause {
  /** A point of simmer_trainer.pause_points, "#N" for the Nth time. */
  readonly point: string;
  /** Made by the trainer when it stands there. */
  readonly file: string;
}

interface Start {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
}

/** A real trainer: a process that serves simmer.trainer.v1 on a socket, and dies of SIGKILL. */
export class TorturedTrainer {
  private constructor(
    private readonly started: Start,
    private readonly address: string,
    readonly client: TrainerClient,
  ) {}

  /** @param folder outlives the process: the trainer's journal */
  static async start(
    factory: TrainerFactory,
    folder: string,
    kind: StartKind,
    pause?: Pause,
  ): Promise<TorturedTrainer> {
    const stateFolder = join(folder, 'state');
    await mkdir(stateFolder, { recursive: true });
    const address = `unix:${join(await makeSocketFolder(), 'trainer.sock')}`;
    const [stdoutFile, stderrFile] = [join(folder, 'stdout.log'), join(folder, 'stderr.log')];
    await rm(stdoutFile, { force: true });
    if (pause !== undefined) await rm(pause.file, { force: true });
    const started = await factory.start(kind, stdoutFile, stderrFile, {
      SIMMER_TRAINER_ADDRESS: address,
      SIMMER_TRAINER_FOLDER: stateFolder,
      SIMMER_LEASE_SECONDS: '600',
      ...(pause === undefined ? {} : { SIMMER_TRAINER_PAUSE_AT: pause.point, SIMMER_TRAINER_PAUSE_FILE: pause.file }),
    });
    await waitForHandshake({
      prefix: 'SIMMER-TRAINER',
      protocolVersion: 1,
      what: 'tortured trainer',
      stdoutFile,
      stderrFile,
      exited: started.exited,
      timeoutMilliseconds: 120_000,
      signal: new AbortController().signal,
    });
    return new TorturedTrainer(started, address, new TrainerClient('tortured', address));
  }

  /** SIGKILL, wherever it is. */
  async kill(): Promise<void> {
    process.kill(this.started.pid, 'SIGKILL');
    const { signal } = await this.started.exited;
    this.client.close();
    await removeSocketFolder(this.address.slice('unix:'.length));
    if (signal !== 'SIGKILL') throw new Error(`the trainer was not killed: it had ended with ${signal}`);
  }
}

/** Makes trainers. Ends with `close`, and with this process. */
export class TrainerFactory {
  private readonly waiting: ((start: Start) => void)[] = [];
  private readonly endings = new Map<number, (exit: ProcessExit) => void>();

  private constructor(
    private readonly python: string,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly zygote: ChildProcess,
  ) {}

  static async open(): Promise<TrainerFactory> {
    const { python, env } = await trainerPython();
    // Models here are too small for threads, and one adds in the same order on every machine.
    const environment = { ...process.env, ...env, SIMMER_DEVICE: 'cpu', OMP_NUM_THREADS: '1' };
    const script = join(root, 'plugins/torch-trainer/python/tests/trainer_zygote.py');
    const zygote = spawn(python, [script], { env: environment, stdio: ['pipe', 'pipe', 'inherit'] });
    const factory = new TrainerFactory(python, environment, zygote);
    await new Promise<void>((resolve, reject) => {
      zygote.once('error', reject);
      zygote.once('exit', (code) => reject(new Error(`the zygote ended with ${code}`)));
      createInterface({ input: zygote.stdout }).on('line', (line) => factory.heard(JSON.parse(line), resolve));
    });
    return factory;
  }

  async start(
    kind: StartKind,
    stdoutFile: string,
    stderrFile: string,
    variables: Readonly<Record<string, string>>,
  ): Promise<Start> {
    if (kind === 'program') {
      const argv = [this.python, '-m', 'simmer_trainer'];
      return spawnDetached({ argv, env: { ...this.environment, ...variables }, stdoutFile, stderrFile });
    }
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      const request = { environment: variables, stdout: stdoutFile, stderr: stderrFile };
      this.zygote.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }

  close(): void {
    this.zygote.stdin?.end();
  }

  private heard(message: ZygoteMessage, ready: () => void): void {
    if ('ready' in message) ready();
    else if ('started' in message) {
      // At once: the next line may say that it has ended.
      const exited = new Promise<ProcessExit>((resolve) => this.endings.set(message.started, resolve));
      this.waiting.shift()?.({ pid: message.started, exited });
    } else {
      const signal = message.signal === 9 ? 'SIGKILL' : message.signal === null ? null : String(message.signal);
      this.endings.get(message.ended)?.({ exitCode: message.exitCode, signal });
      this.endings.delete(message.ended);
    }
  }
}

type ZygoteMessage =
  | { readonly ready: true }
  | { readonly started: number }
  | { readonly ended: number; readonly exitCode: number | null; readonly signal: number | null };

/** What is wrong with the checkpoints of a job: each must be whole, or have no marker. */
export async function brokenCheckpoints(outputFolder: string): Promise<readonly string[]> {
  const parent = join(outputFolder, 'checkpoints');
  const broken: string[] = [];
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith('step-')) continue;
    const marker = await readFile(join(parent, name, 'simmer-checkpoint.json'), 'utf8').catch(() => undefined);
    if (marker === undefined) continue;
    const { files } = JSON.parse(marker) as { files: Readonly<Record<string, number>> };
    for (const [file, size] of Object.entries(files)) {
      const found = await readFile(join(parent, name, file)).then(
        (content) => content.length,
        () => undefined,
      );
      if (found !== size) broken.push(`${name}/${file} has ${found} bytes, not ${size}`);
    }
  }
  return broken;
}
