import { mkdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { askedBeside } from '../artifacts/store-home.js';
import type { Log } from '../plugin/log.js';
import {
  isAlive,
  isSamePlace,
  isStopped,
  type ProcessIdentity,
  type ProcessPlace,
  processIdentity,
  processPlace,
  stoppedAdvice,
} from '../process/process-identity.js';
import { pause } from './passing-failure.js';

/** How often it is looked whether another process still asks something, in milliseconds. */
const lookMilliseconds = 1000;

/** Who asks a question, as its link says. */
interface Asker extends ProcessIdentity, ProcessPlace {}

/** Another stage, run or process asks a question. */
export interface AskedByAnother {
  /**
   * Resolves when that one is done.
   * @param log is told, once, which other process is waited for
   * @throws the signal's reason
   */
  wait(signal: AbortSignal, log?: Log): Promise<void>;
}

/**
 * What processes of this machine ask, a symbolic link for each question: it is made whole or not at all, and what it points
 * to says who made it. One of a process that is gone counts for nothing, nor does one of another machine, of which nobody
 * here can tell. Where none can be made, processes ask without knowing of each other.
 */
export class QuestionLinks {
  private readonly told = new Set<string>();

  private constructor(
    private readonly folder: string,
    /** Undefined: this process cannot be told from those before it. */
    private readonly self: string | undefined,
    private readonly place: ProcessPlace,
  ) {}

  /** @param place folder of the folders of all who may ask the same */
  static async of(place: string): Promise<QuestionLinks> {
    const identity = await processIdentity(process.pid);
    const here = await processPlace();
    const self = identity && JSON.stringify({ ...identity, ...here } satisfies Asker);
    return new QuestionLinks(askedBeside(place), self, here);
  }

  /** Says that this process asks it; undefined where no other one does. */
  take(question: string): AskedByAnother | undefined {
    if (this.self === undefined) return undefined;
    try {
      this.link(question, this.self);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return undefined;
      const text = this.read(question);
      const asker = askerIn(text);
      if (asker !== undefined && isSamePlace(asker, this.place) && text !== this.self)
        return { wait: (signal, log) => this.wait(question, signal, log) };
    }
    return undefined;
  }

  /** This process asks it no more. */
  free(question: string): void {
    if (this.self !== undefined) this.unlink(question, this.self);
  }

  private async wait(question: string, signal: AbortSignal, log: Log | undefined): Promise<void> {
    for (;;) {
      const text = this.read(question);
      const asker = askerIn(text);
      if (text === undefined || asker === undefined) return;
      if (!(await isAlive(asker))) return this.unlink(question, text);
      if (log !== undefined) await this.tell(asker, log);
      await pause(lookMilliseconds, signal);
    }
  }

  private async tell(asker: Asker, log: Log): Promise<void> {
    const once = (level: 'info' | 'warning', message: string) => {
      if (!this.told.has(message)) log[level](message);
      this.told.add(message);
    };
    once('info', `Waiting for replies to questions that ${nameOf(asker)} asks, too.`);
    if (await isStopped(asker.pid)) once('warning', stoppedAdvice(asker.pid));
  }

  private link(question: string, self: string): void {
    const path = `${this.folder}/${question}`;
    try {
      symlinkSync(self, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      mkdirSync(this.folder, { recursive: true });
      symlinkSync(self, path);
    }
  }

  private unlink(question: string, text: string): void {
    if (this.read(question) !== text) return;
    try {
      unlinkSync(`${this.folder}/${question}`);
    } catch {
      // Of this process it counts for nothing when that is gone.
    }
  }

  private read(question: string): string | undefined {
    try {
      return readlinkSync(`${this.folder}/${question}`);
    } catch {
      return undefined;
    }
  }
}

function nameOf({ pid }: Asker): string {
  return `process ${pid}`;
}

function askerIn(text: string | undefined): Asker | undefined {
  try {
    const { pid, startTime, host, machine } = JSON.parse(text ?? '') as Partial<Asker>;
    if (pid === undefined || startTime === undefined || host === undefined) return undefined;
    return { pid, startTime, host, ...(machine === undefined ? {} : { machine }) };
  } catch {
    return undefined;
  }
}
