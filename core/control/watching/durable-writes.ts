import type { LogFile, LogFileSystem } from '../../events/log-file-system.js';

/** What a log's writer has made durable. */
export interface DurableWrite {
  readonly bytes: Uint8Array;
  /** Where in the file they are. */
  readonly position: number;
}

interface Written {
  writers: number;
  readonly listeners: Set<(write: DurableWrite) => void>;
}

/**
 * Hands on what the logs of this process's runs make durable, so that those who watch need not read it back from the
 * disk. Of a log that another process writes it knows nothing.
 */
export class DurableWrites {
  readonly #files = new Map<string, Written>();

  /** The file system for logs whose writes are handed on. */
  over(fileSystem: LogFileSystem): LogFileSystem {
    return {
      open: async (file) => {
        const opened = await fileSystem.open(file);
        this.#written(file).writers += 1;
        return this.#told(file, opened);
      },
      syncFolder: (folder) => fileSystem.syncFolder(folder),
    };
  }

  /** Whether this process has the log open to write: all that becomes durable in it is told then. */
  hasWriter(file: string): boolean {
    return (this.#files.get(file)?.writers ?? 0) > 0;
  }

  /** @param listener gets each write when it is durable, in order; must not throw */
  follow(file: string, listener: (write: DurableWrite) => void): Disposable {
    this.#written(file).listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        this.#files.get(file)?.listeners.delete(listener);
        this.#forgetUnused(file);
      },
    };
  }

  #told(file: string, opened: LogFile): LogFile {
    let unsynced: DurableWrite[] = [];
    return {
      read: (buffer, position) => opened.read(buffer, position),
      write: async (bytes, position) => {
        const count = await opened.write(bytes, position);
        unsynced.push({ bytes: bytes.subarray(0, count), position });
        return count;
      },
      truncate: (length) => {
        unsynced = [];
        return opened.truncate(length);
      },
      sync: async () => {
        const synced = unsynced;
        unsynced = [];
        await opened.sync();
        const { listeners } = this.#written(file);
        for (const write of synced) for (const listener of listeners) listener(write);
      },
      close: async () => {
        this.#written(file).writers -= 1;
        this.#forgetUnused(file);
        await opened.close();
      },
    };
  }

  #written(file: string): Written {
    const written = this.#files.get(file) ?? { writers: 0, listeners: new Set() };
    this.#files.set(file, written);
    return written;
  }

  #forgetUnused(file: string): void {
    const written = this.#files.get(file);
    if (written !== undefined && written.writers <= 0 && written.listeners.size === 0) this.#files.delete(file);
  }
}
