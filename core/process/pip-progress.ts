import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import querystring from 'node:querystring';
import { formatCounted } from '../figures.js';
import type { PrepareContext } from '../plugin/definitions.js';

const lookMilliseconds = 1_000;
/** What takes no time is not worth a line. */
const largeBytes = 1e7;
const unitBytes: Readonly<Record<string, number>> = { kB: 1e3, MB: 1e6, GB: 1e9 };

interface PipProgressOptions {
  /** Of the environment that is made. */
  readonly name: string;
  /** Of packages. */
  readonly total: number;
  /** Where pip keeps what it downloads until it is installed. */
  readonly temporaryFolder: string;
  /** Of the environment. */
  readonly environmentFolder: string;
  readonly context: PrepareContext;
}

/** Tells how far pip is: by its lines, and by the files of what it is minutes at without a word. */
export class PipProgress implements Disposable {
  readonly #options: PipProgressOptions;
  readonly #timer: NodeJS.Timeout;
  #collected = 0;
  #download: { readonly file: string; readonly bytes: number } | undefined;
  #installing: readonly string[] = [];
  /** A package is named once, and only where it takes longer than a look. */
  #seen: string | undefined;
  #named: string | undefined;

  constructor(options: PipProgressOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look().catch(() => {}), lookMilliseconds);
  }

  /** A line of pip. */
  take(line: string): void {
    const { context, name, total } = this.#options;
    const [, download, size = '', unit = ''] = /^\s*Downloading (\S+) \(([\d.]+) (kB|MB|GB)\)/.exec(line) ?? [];
    const [, installing] = /^Installing collected packages: (.*)/.exec(line) ?? [];
    if (download !== undefined) {
      const bytes = Number(size) * unitBytes[unit]!;
      const isLarge = bytes >= largeBytes;
      // Of an index other than PyPI pip names the whole URL, where the + of a version is %2B.
      this.#download = isLarge ? { file: querystring.unescape(download.replace(/.*\//, '')), bytes } : undefined;
      if (isLarge) context.log.info(line.trim());
    } else if (installing !== undefined) {
      this.#download = undefined;
      this.#installing = installing.split(', ');
      context.log.info(`Installing ${formatCounted(total, 'package')} into the Python environment ${name}.`);
    } else if (/^\s*(Collecting|Processing|Requirement already satisfied)/.test(line)) {
      this.#download = undefined;
      this.#collected += 1;
      this.#tell(Math.min(this.#collected, total), total, 'packages');
    }
  }

  /** Looks at the files. */
  async look(): Promise<void> {
    if (this.#installing.length > 0) return this.#lookAtInstalled();
    const download = this.#download;
    const done = download && (await this.#bytesOf(download.file));
    if (download !== undefined && done !== undefined)
      this.#tell(Math.min(done, download.bytes), download.bytes, 'bytes');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #bytesOf(file: string): Promise<number | undefined> {
    const { temporaryFolder } = this.#options;
    for (const folder of await readdir(temporaryFolder)) {
      const found = await stat(join(temporaryFolder, folder, file)).catch(() => undefined);
      if (found !== undefined) return found.size;
    }
    return undefined;
  }

  /** They are installed one after the other, in the order in which pip names them; each is noted when it is there. */
  async #lookAtInstalled(): Promise<void> {
    const { environmentFolder, context } = this.#options;
    const names = new Set(this.#installing.map(folderName));
    let done = 0;
    for (const python of await readdir(join(environmentFolder, 'lib'))) {
      const packages = join(environmentFolder, 'lib', python, 'site-packages');
      for (const entry of await readdir(packages)) {
        const isOurs = entry.endsWith('.dist-info') && names.has(folderName(entry.replace(/-[^-]*\.dist-info$/, '')));
        if (isOurs && existsSync(join(packages, entry, 'INSTALLER'))) done += 1;
      }
    }
    const total = this.#installing.length;
    const current = this.#installing[done];
    if (current !== undefined && current === this.#seen && current !== this.#named) {
      this.#named = current;
      context.log.info(`Installing ${current}, package ${done + 1} of ${total}.`);
    }
    this.#seen = current;
    this.#tell(done, total, 'packages installed');
  }

  #tell(done: number, total: number, unit: string): void {
    const data = { done, total, unit };
    // A run that is stopped may be over before pip is.
    void this.#options.context.emit({ type: 'stage.progressed', data }).catch(() => {});
  }
}

/** As the name of a package is written in the name of its folder, and in pip's lines. */
function folderName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '_');
}
