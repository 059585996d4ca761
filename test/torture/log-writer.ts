/**
 * The process that is killed: it writes a run's log and tells its witness, over a pipe and without delay, what it was
 * promised. Its one argument is `WriterTask` as JSON.
 */
import { writeSync } from 'node:fs';
import { nodeLogFileSystem } from '../../core/events/log-file-system.js';
import type { LogFile, LogFileSystem } from '../../core/events/run-log.js';
import { runScript } from './log-script.js';
import { fingerprint, runLogScript } from './log-script-run.js';

export interface WriterTask {
  readonly file: string;
  readonly seed: number;
  readonly steps: number;
  /** Ordinal of the write boundary, from 1, at which it waits to be killed. */
  readonly pauseAt?: number;
}

/** What the witness hears, one JSON array a line. */
export type WriterMessage =
  | readonly ['opened', lastSequence: number]
  | readonly ['synced', bytes: number]
  | readonly ['named']
  | readonly ['acknowledged' | 'seen', sequence: number, fingerprint: string]
  | readonly ['paused', boundary: string]
  | readonly ['ended'];

const witness = 3;

function tell(message: WriterMessage): void {
  writeSync(witness, `${JSON.stringify(message)}\n`);
}

/** The real file system, which can be stopped for ever between any two things that it does. */
class PausingFileSystem implements LogFileSystem {
  readonly #pauseAt: number | undefined;
  #boundaries = 0;
  #end = 0;

  constructor(pauseAt: number | undefined) {
    this.#pauseAt = pauseAt;
  }

  async open(path: string): Promise<LogFile> {
    await this.#boundary('before open');
    const file = await nodeLogFileSystem.open(path);
    await this.#boundary('after open');
    return {
      read: async (buffer, position) => {
        const count = await file.read(buffer, position);
        this.#end = Math.max(this.#end, position + count);
        return count;
      },
      write: async (bytes, position) => {
        await this.#boundary('before write');
        if (this.#isNext()) await file.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), position);
        await this.#boundary('in the middle of a write');
        const count = await file.write(bytes, position);
        this.#end = position + count;
        await this.#boundary('after write, before sync');
        return count;
      },
      truncate: async (length) => {
        await this.#boundary('before truncate');
        await file.truncate(length);
        this.#end = length;
        await this.#boundary('after truncate');
      },
      sync: async () => {
        await file.sync();
        tell(['synced', this.#end]);
        await this.#boundary('after sync, before acknowledgement');
      },
      close: () => file.close(),
    };
  }

  async syncFolder(folder: string): Promise<void> {
    await nodeLogFileSystem.syncFolder(folder);
    tell(['named']);
    await this.#boundary('after the folder was synced');
  }

  #isNext(): boolean {
    return this.#boundaries + 1 === this.#pauseAt;
  }

  async #boundary(name: string): Promise<void> {
    this.#boundaries += 1;
    if (this.#boundaries !== this.#pauseAt) return;
    tell(['paused', name]);
    setInterval(() => undefined, 60_000);
    await new Promise(() => undefined);
  }
}

async function write(task: WriterTask): Promise<void> {
  await runLogScript({
    file: task.file,
    bursts: runScript(task.seed, task.steps),
    fileSystem: new PausingFileSystem(task.pauseAt),
    onOpened: (lastSequence) => tell(['opened', lastSequence]),
    onAcknowledged: (event) => tell(['acknowledged', event.sequence, fingerprint(event)]),
    onSeen: (event) => tell(['seen', event.sequence, fingerprint(event)]),
  });
  tell(['ended']);
}

await write(JSON.parse(process.argv[2]!) as WriterTask);
