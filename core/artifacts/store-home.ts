import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isUserError, UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder, writeFileDurably } from '../files/durable-files.js';

/** The version of a home's layout that this Simmer writes, and the newest that it reads. */
const homeFormat = 1;

/** The folder that says what is asked now, beside one in `kept`, where everything else is somebody's replies. */
export function askedBeside(place: string): string {
  return `${place}.asked`;
}

/** Where things are in a home. */
export class StoreHome {
  readonly folder: string;
  #isReady = false;

  /** @param folder absolute */
  constructor(folder: string) {
    this.folder = folder;
  }

  inside(...parts: readonly string[]): string {
    return join(this.folder, ...parts);
  }

  /** A home that is not there yet is fine. @throws UserError `newer_format`, `home_damaged` */
  async check(): Promise<void> {
    const file = this.inside('format');
    const text = await readText(file);
    if (text === undefined) return;
    const format = /^\d+\s*$/.test(text) ? Number(text) : Number.NaN;
    if (format > homeFormat) {
      throw new UserError(
        'newer_format',
        `${this.folder} was written by a newer Simmer: its format is ${format}, this Simmer reads up to ${homeFormat}.`,
        { kind: 'environment', hint: 'Use a newer Simmer, or choose another place with --home.' },
      );
    }
    if (format !== homeFormat) {
      throw new UserError('home_damaged', `${file} holds ${JSON.stringify(text.slice(0, 40))}, not a format number.`, {
        kind: 'environment',
        hint: `If ${this.folder} is a home of Simmer's, write "${homeFormat}" into that file; else choose another with --home.`,
      });
    }
  }

  /**
   * Makes the home where it is missing: a home exists only once something is to be kept in it.
   * @throws UserError `no_disk_space`, `not_writable` and their like, `home_damaged`
   */
  async ready(): Promise<void> {
    if (this.#isReady) return;
    await writingTo(this.folder, async () => {
      await makeFolder(this.folder);
      const file = this.inside('format');
      if ((await readText(file)) === undefined) await writeFileDurably(file, `${homeFormat}\n`);
    }).catch((error: unknown) => {
      throw isUserError(error) ? error : unusable('made', error);
    });
    this.#isReady = true;
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable('read', error);
  }
}

function unusable(what: string, cause: unknown): UserError {
  return new UserError('home_damaged', `The home cannot be ${what}: ${(cause as Error).message}.`, {
    kind: 'environment',
    hint: 'Choose another place with --home or SIMMER_HOME.',
    cause,
  });
}
