import { watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isUserError, UserError } from '../errors.js';
import { systemError } from '../files/system-error.js';
import type { Event } from './catalogue.js';
import { findWrite } from './find-write.js';
import { LogScanner, type ReadBytes, type ScanOptions } from './log-scanner.js';

/** Where a file system tells nothing of changes (network folders), or no more watches are to be had. */
const pollMilliseconds = 500;

interface FollowOptions {
  /** @default 1 */
  readonly fromSequence?: number;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/**
 * The events of a log as far as it goes now, in order; what a killed writer left half done at its end is passed over.
 * @throws UserError `log_missing`, `log_damaged`, `newer_format`
 */
export async function* readEvents(file: string, options: ScanOptions = {}): AsyncIterable<Event> {
  await using handle = await openLog(file);
  const scanner = new LogScanner(file, reader(file, handle), options);
  yield* (await begin(scanner, { file, handle }, options.fromSequence)) ?? [];
  for (let events = await scanner.advance(); events !== null; events = await scanner.advance()) yield* events;
}

interface OpenLog {
  readonly file: string;
  readonly handle: FileHandle;
}

/** As `advance` of a scanner that has read nothing; of what nobody asked for, only as much is read as says what the file is. */
async function begin(scanner: LogScanner, log: OpenLog, fromSequence = 1): Promise<readonly Event[] | null> {
  const events = await scanner.advance();
  if (scanner.sequence + 1 < fromSequence) await passTo(fromSequence, scanner, log);
  return events;
}

async function passTo(fromSequence: number, scanner: LogScanner, { file, handle }: OpenLog): Promise<void> {
  const start = await findWrite(reader(file, handle), (await handle.stat()).size, fromSequence);
  if (start === undefined || start.offset <= scanner.offset) return;
  scanner.pass(start.offset - scanner.offset, start.sequence - 1 - scanner.sequence);
}

/**
 * The events of a log, and those that come, also from another process, without a seam and each only once it is durable.
 * Ends when the run has ended and nothing comes after that; waits for ever on a run whose core died.
 * @throws UserError `log_missing`, `log_damaged`, `newer_format`, `log_failed`
 */
export async function* followEvents(file: string, options: FollowOptions = {}): AsyncIterable<Event> {
  const { signal, fromSequence = 1 } = options;
  await using handle = await openLog(file);
  using changes = new FileChanges(file, signal);
  let scanner = new LogScanner(file, reader(file, handle), { fromSequence });
  let next = fromSequence;
  let hasEnded = false;
  let hasBegun = false;
  let damagedAfter: number | undefined;
  while (!isAborted(signal)) {
    changes.clear();
    let events: readonly Event[] | null;
    try {
      events = hasBegun ? await scanner.advance() : await begin(scanner, { file, handle }, fromSequence);
      hasBegun = true;
    } catch (error) {
      if (damagedAfter === scanner.sequence) throw error;
      // A writer that failed may have cut off what it could not make durable, and the next one have written other lines
      // there: read from the beginning, the file must make sense.
      damagedAfter = scanner.sequence;
      scanner = new LogScanner(file, reader(file, handle), { fromSequence: next });
      continue;
    }
    if (events !== null) {
      await makeDurable(file, handle);
      for (const event of events) {
        if (isAborted(signal)) return;
        next = event.sequence + 1;
        yield event;
      }
      hasEnded = endsRun(events.at(-1)) ?? hasEnded;
      continue;
    }
    if (hasEnded) return;
    if ((await handle.stat()).size < scanner.offset)
      scanner = new LogScanner(file, reader(file, handle), { fromSequence: next });
    else await changes.next();
  }
}

/** A function, since a narrowed property would stay so over an await or a yield. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

/** Undefined where there is no event to tell by. */
function endsRun(event: Event | undefined): boolean | undefined {
  return event === undefined ? undefined : isRunEnd(event.type);
}

/** Whether an event of this type ends a run, until somebody goes on with it. */
export function isRunEnd(type: string): boolean {
  return type === 'run.completed' || type === 'run.failed' || type === 'run.interrupted';
}

/** @throws UserError `log_missing`, `not_permitted` and its like */
export async function openLog(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r');
  } catch (error) {
    const told = systemError(error);
    if (isUserError(told)) throw told;
    throw new UserError('log_missing', `The run's log cannot be read: ${(error as Error).message}.`, {
      kind: 'environment',
      hint: 'List the runs of this home with simmer runs; another home is chosen with --home.',
      cause: error,
    });
  }
}

/** For a `LogScanner`. */
export function reader(file: string, handle: FileHandle): ReadBytes {
  return async (buffer, position) => {
    try {
      return (await handle.read(buffer, 0, buffer.length, position)).bytesRead;
    } catch (error) {
      throw new UserError('log_failed', `Cannot read the run's log ${file}: ${(error as Error).message}.`, {
        kind: 'environment',
        cause: error,
      });
    }
  };
}

/** Bytes that another process has written can be read before they are on the disk, and may be lost then. */
export async function makeDurable(file: string, handle: FileHandle): Promise<void> {
  try {
    await handle.datasync();
  } catch (error) {
    // Anything else says that this file, opened for reading, cannot be synced here: then it is left to its writer.
    if ((error as NodeJS.ErrnoException).code !== 'EIO') return;
    throw new UserError('log_failed', `Cannot sync the run's log ${file}: ${(error as Error).message}.`, {
      kind: 'environment',
      cause: error,
    });
  }
}

/** Tells that a file may have changed: at the system's word, and every half second in any case. */
export class FileChanges implements Disposable {
  readonly #signal: AbortSignal | undefined;
  readonly #watcher: { close(): void } | undefined;
  #hasChanged = false;
  #wake: (() => void) | undefined;

  constructor(file: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#watcher = this.#watch(file);
    signal?.addEventListener('abort', this.#onChange);
  }

  /** What changed before this does not wake anybody. */
  clear(): void {
    this.#hasChanged = false;
  }

  async next(): Promise<void> {
    if (this.#hasChanged || this.#signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollMilliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener('abort', this.#onChange);
    this.#watcher?.close();
  }

  readonly #onChange = () => {
    this.#hasChanged = true;
    this.#wake?.();
  };

  #watch(file: string): { close(): void } | undefined {
    try {
      const watcher = watch(file, this.#onChange);
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  }
}
