import { constants, type FileHandle, open } from 'node:fs/promises';
import { syncFolder } from '../files/durable-files.js';

/** What the log asks of a file. Fault injection wraps it. */
export interface LogFile {
  /** Bytes read into the buffer, 0 at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Bytes written, which may be fewer than given. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  truncate(length: number): Promise<void>;
  /** Resolves when everything written, and the file's length, is on the disk. @throws ENOENT where the file was removed */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** All that the log does with the file system. */
export interface LogFileSystem {
  /** Opens for reading and writing; makes the file where it is missing. */
  open(file: string): Promise<LogFile>;
  /** Makes the folder's entries durable. */
  syncFolder(folder: string): Promise<void>;
}

export const nodeLogFileSystem: LogFileSystem = {
  async open(file) {
    const handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o644);
    const { nlink } = await handle.stat();
    return new NodeLogFile(handle, nlink > 0);
  },
  syncFolder,
};

class NodeLogFile implements LogFile {
  readonly #handle: FileHandle;
  readonly #isLinked: boolean;

  /** @param isLinked whether the file system counts the names of a file: not all network folders do */
  constructor(handle: FileHandle, isLinked: boolean) {
    this.#handle = handle;
    this.#isLinked = isLinked;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(buffer, 0, buffer.length, position)).bytesRead;
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten;
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
    // The system goes on writing a file that has no name any more, and nobody would ever read it.
    if (this.#isLinked && (await this.#handle.stat()).nlink === 0)
      throw Object.assign(new Error('it was removed'), { code: 'ENOENT' });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
