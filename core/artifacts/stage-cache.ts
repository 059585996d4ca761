import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { EventDraft } from '../events/catalogue.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder, writeFileDurably } from '../files/durable-files.js';
import type { StoreHome } from './store-home.js';

/** What a stage made, found by its key. */
export interface StageCacheEntry {
  readonly format: 1;
  readonly key: string;
  readonly uses: string;
  /** What the stage is called in the recipe of the run that made it; absent in older entries. */
  readonly stage?: string;
  /** Output name to artifact URI. */
  readonly outputs: Readonly<Record<string, string>>;
  /** The run that made it. */
  readonly runId: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly seconds: number;
  /** The stage's figures and warnings, told again where it is reused. */
  readonly facts: readonly EventDraft[];
}

/** Which stage key made which artifacts. */
export interface StageCache {
  /** Undefined where the key is unknown, or an artifact of its outputs is no longer whole. */
  lookup(key: string): Promise<StageCacheEntry | undefined>;
  /** Durable when it resolves. A later record of the same key replaces it. */
  record(key: string, entry: StageCacheEntry): Promise<void>;
  /** Forgets the keys that made one of these artifacts. */
  forget(uris: ReadonlySet<string>): Promise<void>;
}

/** The cache as files, `cache/KEY.json`. */
export class StoredStageCache implements StageCache {
  readonly #home: StoreHome;
  readonly #hasArtifact: (uri: string) => Promise<boolean>;

  constructor(home: StoreHome, hasArtifact: (uri: string) => Promise<boolean>) {
    this.#home = home;
    this.#hasArtifact = hasArtifact;
  }

  async lookup(key: string): Promise<StageCacheEntry | undefined> {
    const entry = await readEntry(this.#file(key));
    if (entry?.key !== key) return undefined;
    for (const uri of Object.values(entry.outputs)) {
      if (!(await this.#hasArtifact(uri))) return undefined;
    }
    return entry;
  }

  async record(key: string, entry: StageCacheEntry): Promise<void> {
    const file = this.#file(key);
    await this.#home.ready();
    await writingTo(this.#home.folder, async () => {
      await makeFolder(this.#home.inside('cache'));
      await writeFileDurably(file, `${JSON.stringify(entry)}\n`);
    });
  }

  async forget(uris: ReadonlySet<string>): Promise<void> {
    const folder = this.#home.inside('cache');
    for (const name of await readdir(folder).catch(() => [])) {
      const entry = name.endsWith('.json') ? await readEntry(join(folder, name)) : undefined;
      const isMade = Object.values(entry?.outputs ?? {}).some((uri) => uris.has(uri));
      if (isMade) await rm(join(folder, name), { force: true });
    }
  }

  #file(key: string): string {
    return this.#home.inside('cache', `${requireName(key)}.json`);
  }
}

/** A name that stays inside its folder. @throws UserError `invalid_name` */
export function requireName(name: string): string {
  if (/^[\w-][\w.-]*$/.test(name)) return name;
  throw new UserError(
    'invalid_name',
    `${JSON.stringify(name)} cannot be the name of a file: letters, digits, "-", "_", "." only.`,
  );
}

/** An entry that cannot be read is none: the stage runs again and replaces it. */
async function readEntry(file: string): Promise<StageCacheEntry | undefined> {
  try {
    const entry = JSON.parse(await readFile(file, 'utf8')) as Partial<StageCacheEntry> | null;
    const isEntry =
      entry?.format === 1 &&
      typeof entry.outputs === 'object' &&
      entry.outputs !== null &&
      Object.values(entry.outputs).every((uri) => typeof uri === 'string') &&
      Array.isArray(entry.facts);
    return isEntry ? (entry as StageCacheEntry) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
