import { readFile, writeFile } from 'node:fs/promises';
import { isUserError } from '../../core/errors.js';
import { nodeLogFileSystem } from '../../core/events/log-file-system.js';
import type { LogFile, LogFileSystem } from '../../core/events/run-log.js';
import { finishRun } from './log-finish.js';
import type { Burst } from './log-script.js';
import { fingerprint, runLogScript } from './log-script-run.js';
import { type Damage, Witness } from './log-witness.js';

const newline = 0x0a;

type Operation = 'open' | 'syncFolder' | keyof LogFile;

/** What goes wrong, at which operations it can, and what the log must say then. */
interface Fault {
  readonly name: string;
  readonly at: readonly Operation[];
  readonly code: string;
  readonly says: RegExp;
}

const faults: readonly Fault[] = [
  { name: 'ENOSPC', at: ['open', 'syncFolder', 'write', 'truncate', 'sync'], code: 'no_disk_space', says: /no space/ },
  {
    name: 'EIO',
    at: ['open', 'syncFolder', 'read', 'write', 'truncate', 'sync', 'close'],
    code: 'log_failed',
    says: /EIO/,
  },
  { name: 'short write', at: ['write'], code: 'log_failed', says: /only a part/ },
  // The kernel drops what it could not write: https://lwn.net/Articles/752063/
  { name: 'failed sync that loses the pages', at: ['sync'], code: 'log_failed', says: /EIO/ },
];

/** Does the n-th operation wrong, and from then on all of its kind where the fault persists. */
class FaultyFileSystem implements LogFileSystem {
  readonly #fault: Fault;
  readonly #ordinal: number;
  readonly #persists: boolean;
  #operations = 0;
  #failing: Operation | undefined;
  #syncedBytes = 0;
  #end = 0;
  #writtenEvents = 0;
  #durableEvents = 0;

  constructor(fault: Fault, ordinal: number, persists: boolean) {
    this.#fault = fault;
    this.#ordinal = ordinal;
    this.#persists = persists;
  }

  /** The operation that failed, if the run came as far. */
  get failed(): Operation | undefined {
    return this.#failing;
  }

  /** Sequence of the last event that was on the disk when the fault came. */
  get durableAtFault(): number {
    return this.#durableEvents;
  }

  /** Says what the log held when it was opened. */
  opened(lastSequence: number): void {
    this.#writtenEvents = lastSequence;
    this.#durableEvents = lastSequence;
  }

  async open(path: string): Promise<LogFile> {
    this.#throwIfDue('open');
    const file = await nodeLogFileSystem.open(path);
    return {
      read: async (buffer, position) => {
        this.#throwIfDue('read');
        const count = await file.read(buffer, position);
        this.#end = Math.max(this.#end, position + count);
        return count;
      },
      write: async (bytes, position) => {
        const isDue = this.#isDue('write');
        // A disk that fills up, or fails, has mostly taken a part before.
        const taken = isDue ? bytes.subarray(0, Math.floor(bytes.length / 3)) : bytes;
        const count = taken.length === 0 ? 0 : await file.write(taken, position);
        this.#end = position + count;
        if (isDue && this.#fault.name !== 'short write') throw this.#error();
        this.#writtenEvents += Buffer.from(bytes).filter((byte) => byte === newline).length;
        return count;
      },
      truncate: async (length) => {
        this.#throwIfDue('truncate');
        await file.truncate(length);
        this.#end = length;
      },
      sync: async () => {
        if (this.#isDue('sync')) {
          const lost = this.#end - this.#syncedBytes;
          if (this.#fault.name.includes('loses') && lost > 0) await file.write(Buffer.alloc(lost), this.#syncedBytes);
          throw this.#error();
        }
        await file.sync();
        this.#syncedBytes = this.#end;
        if (this.#failing === undefined) this.#durableEvents = this.#writtenEvents;
      },
      close: async () => {
        await file.close();
        this.#throwIfDue('close');
      },
    };
  }

  async syncFolder(folder: string): Promise<void> {
    this.#throwIfDue('syncFolder');
    await nodeLogFileSystem.syncFolder(folder);
  }

  #throwIfDue(operation: Operation): void {
    if (this.#isDue(operation)) throw this.#error();
  }

  #isDue(operation: Operation): boolean {
    if (this.#failing !== undefined) return this.#persists && this.#failing === operation;
    if (!this.#fault.at.includes(operation)) return false;
    this.#operations += 1;
    if (this.#operations !== this.#ordinal) return false;
    this.#failing = operation;
    return true;
  }

  #error(): Error {
    const code = this.#fault.name === 'ENOSPC' ? 'ENOSPC' : 'EIO';
    return Object.assign(new Error(`${code}: injected`), { code });
  }
}

interface IoFaultOptions {
  /** The beginning of the names of files. */
  readonly file: string;
  readonly bursts: readonly Burst[];
  /** What the file holds when each run is taken up: also a torn last line, which has to be cut off. */
  readonly initial: Buffer;
  readonly damage: Damage;
  onFault(): void;
}

/**
 * Injects every fault at every operation of a run, once and for good, and takes the run up again on a sound disk. Runs with
 * different faults, each in a file of its own, go side by side: they mostly wait for the disk.
 */
export async function injectIoFaults(options: IoFaultOptions): Promise<void> {
  const kinds = faults.flatMap((fault) => [false, true].map((persists) => ({ fault, persists })));
  await Promise.all(
    kinds.map(async ({ fault, persists }, index) => {
      const own = { ...options, file: `${options.file}.${index}` };
      for (let ordinal = 1; await injectFault(own, fault, ordinal, persists); ordinal += 1) options.onFault();
    }),
  );
}

/** @returns false where the run ended before the fault was due */
async function injectFault(
  options: IoFaultOptions,
  fault: Fault,
  ordinal: number,
  persists: boolean,
): Promise<boolean> {
  const { file, bursts, damage, initial } = options;
  const where = `${fault.name} at operation ${ordinal}${persists ? ' and after' : ''}`;
  const witness = new Witness(bursts);
  const fileSystem = new FaultyFileSystem(fault, ordinal, persists);
  await writeFile(file, initial);
  const promised = new Set<number>();
  const failure = await runLogScript({
    file,
    bursts,
    fileSystem,
    onOpened: (lastSequence) => {
      fileSystem.opened(lastSequence);
      witness.opened(lastSequence, damage, where);
    },
    onAcknowledged: (event) => {
      promised.add(event.sequence);
      witness.acknowledged(event.sequence, fingerprint(event), damage, where);
    },
    onSeen: (event) => {
      promised.add(event.sequence);
      witness.seen(event.sequence, fingerprint(event), damage, where);
    },
  }).catch((error: unknown) => error);
  if (fileSystem.failed === undefined) {
    if (failure !== undefined) damage.violation(where, `failed without a fault: ${String(failure)}`);
    return false;
  }
  if (!isUserError(failure) || failure.code !== fault.code || !fault.says.test(failure.message)) {
    damage.violation(where, `does not say why it failed: ${String(failure)}`);
  }
  const undurable = [...promised].filter((sequence) => sequence > fileSystem.durableAtFault);
  if (undurable.length > 0) damage.violation(where, `${undurable.join(', ')} were acknowledged after the fault`);
  witness.check(await readFile(file).catch(() => Buffer.alloc(0)), damage, false);
  // The disk is sound again: the run goes on, with all that was ever promised.
  await finishRun(options, witness, damage, `${where}, taken up`);
  return true;
}
