import { stat } from 'node:fs/promises';
import { homeGone } from './refusals.js';

/** The folder that a server holds its lock on: its home, as it was when the server started. */
export class ServedHome {
  readonly #home: string;
  readonly #folder: string;
  readonly #identity: string | undefined;
  /** Calls are answered in the order in which they came. */
  #looking: Promise<string | undefined> = Promise.resolve(undefined);

  private constructor(home: string, folder: string, identity: string | undefined) {
    this.#home = home;
    this.#folder = folder;
    this.#identity = identity;
  }

  /** @param folder within the home, which the server has locked */
  static async of(home: string, folder: string): Promise<ServedHome> {
    return new ServedHome(home, folder, await identityOf(folder));
  }

  /**
   * Every call asks: where a file system is gone, such as one of the network, a new home would be made at its mount point,
   * and what is run there would be hidden when the file system is back. @throws UserError `home_gone`
   */
  async refuseWhereGone(): Promise<void> {
    if (!(await this.isThere())) throw homeGone(this.#home);
  }

  async isThere(): Promise<boolean> {
    this.#looking = this.#looking.then(() => identityOf(this.#folder));
    return (await this.#looking) === this.#identity;
  }
}

/** Undefined where it is not there. */
async function identityOf(folder: string): Promise<string | undefined> {
  const found = await stat(folder, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}/${found.ino}`;
}
