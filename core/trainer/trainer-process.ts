import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isUserError, UserError } from '../errors.js';
import type { LaunchedProcess, LauncherDefinition, TrainerCommand } from '../plugin/definitions.js';
import type { Log } from '../plugin/log.js';
import type { Resources } from '../plugin/resources.js';
import { lastLines } from '../process/file-tail.js';
import { describeExit, waitForHandshake } from '../process/handshake.js';
import { isAlive, type ProcessIdentity, processIdentity } from '../process/process-identity.js';
import { makeSocketFolder, removeSocketFolder } from '../process/socket-folder.js';
import type { ProcessExit } from '../process/spawn-detached.js';
import { endsWithin } from '../process/terminate.js';
import { makeToken } from '../secrets.js';
import { type GpuClaim, type GpuDevices, gpusHere } from './gpu-devices.js';
import type { TrainerDescription } from './trainer.js';
import { TrainerClient } from './trainer-client.js';
import { TrainerLostError } from './trainer-errors.js';

const protocolVersion = 1;
const healthMilliseconds = 30_000;

/** Where a trainer's files are, and how it is started. */
export interface TrainerPlace {
  readonly trainer: string;
  /** Outlives the process: its journal, its output, `process.json`. */
  readonly folder: string;
  readonly launcher: LauncherDefinition;
  readonly launcherOptions: Readonly<Record<string, unknown>>;
  readonly resources: Resources;
  readonly gpus?: GpuDevices;
  readonly leaseSeconds: number;
  readonly handshakeMilliseconds: number;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** `process.json`: what a later core needs to take the process up again. */
interface ProcessRecord extends ProcessIdentity {
  readonly format: 1;
  /** Ordinal of the start in the run, from 1. */
  readonly start: number;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** What it was asked to listen on. */
  readonly requestedAddress: string;
  /** TCP only. */
  readonly token?: string;
}

/** One process of a trainer that answers: started here, or taken up from a former core. */
export class TrainerProcess {
  /** Resolves when the process has ended. */
  readonly exited: Promise<ProcessExit>;
  private ended: ProcessExit | undefined;
  private lease: NodeJS.Timeout | undefined;
  /** Set before Simmer ends it: an exit is then no accident. */
  stopping = false;

  private constructor(
    readonly launched: LaunchedProcess,
    readonly identity: ProcessIdentity,
    readonly start: number,
    readonly address: string,
    readonly client: TrainerClient,
    readonly description: TrainerDescription,
    readonly stderrFile: string,
    readonly token: string | undefined,
    private readonly leaseSeconds: number,
  ) {
    this.exited = launched.exited.then(async (exit) => {
      this.ended = exit;
      clearInterval(this.lease);
      client.close();
      await removeSocketOf(address).catch(() => {});
      return exit;
    });
  }

  /**
   * Starts a process and waits until it serves.
   * @throws UserError `handshake_failed`, `trainer_not_serving`; TrainerLostError where a signal ended it before
   */
  static async start(place: TrainerPlace, command: TrainerCommand, start: number): Promise<TrainerProcess> {
    const { folder } = place;
    const stateFolder = join(folder, 'state');
    await mkdir(stateFolder, { recursive: true, mode: 0o700 });
    const stdoutFile = join(folder, `stdout-${start}.log`);
    const stderrFile = join(folder, `stderr-${start}.log`);
    const overTcp = (await place.launcher.transport?.(place.launcherOptions)) === 'tcp';
    const address = overTcp ? '127.0.0.1:0' : `unix:${join(await makeSocketFolder(), 'trainer.sock')}`;
    const token = overTcp ? makeToken() : undefined;
    // A handshake line that an earlier process left there would be taken for this one's.
    await rm(stdoutFile, { force: true });
    const claim = await claimGpus(place);
    let launched: LaunchedProcess;
    try {
      launched = await place.launcher.launch(
        {
          command: {
            ...command,
            env: {
              ...command.env,
              SIMMER_TRAINER_ADDRESS: address,
              SIMMER_TRAINER_FOLDER: stateFolder,
              SIMMER_LEASE_SECONDS: String(place.leaseSeconds),
              ...(token === undefined ? {} : { SIMMER_TRAINER_TOKEN: token }),
            },
          },
          resources: place.resources,
          ...(claim === undefined ? {} : { devices: claim.devices }),
          stdoutFile,
          stderrFile,
          log: place.log,
        },
        place.launcherOptions,
      );
    } catch (error) {
      await claim?.drop();
      throw error;
    }
    const identity = (await processIdentity(launched.pid)) ?? { pid: launched.pid, startTime: 'gone' };
    const record: ProcessRecord = {
      format: 1,
      ...identity,
      start,
      stdoutFile,
      stderrFile,
      requestedAddress: address,
      ...(token === undefined ? {} : { token }),
    };
    try {
      await claim?.passTo(identity);
      await writeRecord(folder, record);
      return await TrainerProcess.connect(place, launched, record);
    } catch (error) {
      const killed = await wasKilled(launched.exited);
      await launched.terminate(2_000);
      await removeSocketOf(address);
      place.signal.throwIfAborted();
      throw killed ? new TrainerLostError('the trainer was killed before it served', error) : error;
    }
  }

  /** Takes up the process that a former core started in this folder. Undefined where it is gone. */
  static async attach(place: TrainerPlace): Promise<TrainerProcess | undefined> {
    const record = await readRecord(place.folder);
    if (record === undefined) return undefined;
    if (!(await isAlive(record))) {
      // Its own core was not there to do it.
      await removeSocketOf(record.requestedAddress);
      return undefined;
    }
    const launched = await place.launcher.attach(record.pid, place.launcherOptions);
    if (launched === undefined) return undefined;
    try {
      return await TrainerProcess.connect(place, launched, record);
    } catch (error) {
      place.signal.throwIfAborted();
      // It runs and does not answer, and nobody else will end it: its folder must not have two masters.
      await launched.terminate(2_000);
      if (isUserError(error)) return undefined;
      throw error;
    }
  }

  private static async connect(
    place: TrainerPlace,
    launched: LaunchedProcess,
    record: ProcessRecord,
  ): Promise<TrainerProcess> {
    const address = await waitForHandshake({
      prefix: 'SIMMER-TRAINER',
      protocolVersion,
      what: `trainer ${place.trainer}`,
      stdoutFile: record.stdoutFile,
      stderrFile: record.stderrFile,
      exited: launched.exited,
      timeoutMilliseconds: place.handshakeMilliseconds,
      signal: place.signal,
      hintOf: () => `Its whole output is in ${record.stderrFile}.`,
    });
    const client = new TrainerClient(place.trainer, address, record.token);
    try {
      if (!(await client.isHealthy(healthMilliseconds, launched.exited)))
        throw await notServing(place, address, launched, record);
      const description = await client.describe(place.signal);
      const { start, stderrFile, token } = record;
      return new TrainerProcess(
        launched,
        { pid: record.pid, startTime: record.startTime },
        start,
        address,
        client,
        description,
        stderrFile,
        token,
        place.leaseSeconds,
      );
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get pid(): number {
    return this.identity.pid;
  }

  get hasEnded(): boolean {
    return this.ended !== undefined;
  }

  /** Renews the lease every third of it until the process ends or is left; each time acknowledges what is durable. */
  keepAlive(acknowledged: () => { attemptId: string; number: number } | undefined): void {
    // One that fails is made up for by the next; whether the process lives is seen elsewhere.
    const renew = () => void this.client.renewLease(this.leaseSeconds, acknowledged()).catch(() => {});
    renew();
    this.lease = setInterval(renew, (this.leaseSeconds * 1000) / 3);
    this.lease.unref();
  }

  /**
   * The kill ladder: Shutdown (a running attempt saves a checkpoint), SIGTERM, SIGKILL.
   * @param answerMilliseconds what Shutdown may take; who has answered has the whole grace
   */
  async stop(graceMilliseconds: number, answerMilliseconds = 10_000): Promise<void> {
    this.stopping = true;
    const patience = Math.min(answerMilliseconds, graceMilliseconds);
    const asked = await this.client.shutdown(graceMilliseconds / 1000, patience / 1000).then(
      () => true,
      () => false,
    );
    if (!(asked && (await endsWithin(this.exited, graceMilliseconds))))
      await this.launched.terminate(Math.min(5_000, patience / 2));
    await this.exited;
  }

  /** The same without asking it, where it does not answer and has nothing to save. */
  async end(): Promise<void> {
    this.stopping = true;
    await this.launched.terminate(1_000);
  }

  /** Lets go of the process without ending it. */
  leave(): void {
    clearInterval(this.lease);
    this.client.close();
  }

  lastErrorLines(): Promise<readonly string[]> {
    return lastLines(this.stderrFile);
  }
}

/** GPUs for a process that is about to start. Undefined: it sees all there are. */
async function claimGpus({ gpus, resources, trainer, signal, log }: TrainerPlace): Promise<GpuClaim | undefined> {
  const claim = await gpus?.claim(gpusHere(resources), signal);
  if (claim !== undefined && claim.shared.length > 0) {
    log.warning(
      `No GPU is free: trainer ${trainer} shares GPU ${claim.shared.join(', ')} with trainers that run already.`,
    );
  }
  return claim;
}

async function removeSocketOf(address: string): Promise<void> {
  if (address.startsWith('unix:')) await removeSocketFolder(address.slice('unix:'.length));
}

async function wasKilled(exited: Promise<ProcessExit>): Promise<boolean> {
  return (await Promise.race([exited.then((exit) => exit.signal !== null), sleep(100, false)])) === true;
}

/** The process that a former core started in a trainer's folder, where it still runs. */
export async function formerProcessId(folder: string): Promise<number | undefined> {
  const record = await readRecord(folder);
  return record !== undefined && (await isAlive(record)) ? record.pid : undefined;
}

/** The end of the stderr of the last process in a trainer's folder. */
export async function lastErrorLinesIn(folder: string): Promise<readonly string[]> {
  const record = await readRecord(folder);
  return record === undefined ? [] : lastLines(record.stderrFile);
}

async function notServing(
  place: TrainerPlace,
  address: string,
  launched: LaunchedProcess,
  record: ProcessRecord,
): Promise<UserError> {
  const exit = await Promise.race([launched.exited, sleep(100, undefined)]);
  const how = exit === undefined ? '' : ` It ended with ${describeExit(exit)}.`;
  const lines = (await lastLines(record.stderrFile, 12)).map((line) => `\n  ${line}`).join('');
  return new UserError(
    'trainer_not_serving',
    `The trainer ${place.trainer} says that it listens on ${address}, but does not serve there.${how}${lines}`,
    { kind: 'environment', hint: `Its whole output is in ${record.stderrFile}.` },
  );
}

async function writeRecord(folder: string, record: ProcessRecord): Promise<void> {
  const draft = join(folder, 'process.json.draft');
  await writeFile(draft, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  await rename(draft, join(folder, 'process.json'));
}

async function readRecord(folder: string): Promise<ProcessRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, 'process.json'), 'utf8')) as ProcessRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
