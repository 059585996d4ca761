import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

const chunkBytes = 2 ** 20;

/** SHA-256 of a file, lower-case hex. */
export async function sha256OfFile(path: string): Promise<string> {
  await using file = await open(path, 'r');
  return (await hashFile(file)).sha256;
}

/** Size and SHA-256 of an open file. While a part of it is hashed, the next one is read. */
export async function hashFile(file: FileHandle): Promise<{ readonly size: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let [buffer, other] = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)];
  let size = 0;
  let reading = file.read(buffer, 0, chunkBytes, 0);
  for (;;) {
    const { bytesRead } = await reading;
    if (bytesRead === 0) return { size, sha256: hash.digest('hex') };
    size += bytesRead;
    reading = file.read(other, 0, chunkBytes, size);
    hash.update(buffer.subarray(0, bytesRead));
    [buffer, other] = [other, buffer];
  }
}
