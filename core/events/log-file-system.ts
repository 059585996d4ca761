import { constants, type FileHandle, open } from 'node:fs/promises';
import { syncFolder } from '../files/durable-files.js';

/** What the log asks of a file. Fault injection wraps it. */
export interface LogFile {
  /** Bytes read into the buffer, 0 at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Bytes written, which may be fewer than given. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  truncate(length: number): Promise<void>;
  /** Resolves when everything written, and the file's length, is on the disk. */
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
    return new NodeLogFile(handle);
  },
  syncFolder,
};

class NodeLogFile implements LogFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
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

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
