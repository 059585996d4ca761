import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileContent } from './artifact.js';
import { joinFooters, readThrift, type ThriftStruct, writeThrift } from './parquet-footer.js';

const magic = Buffer.from('PAR1');
/** The size of the footer, 32 bits, and the magic. */
const tailBytes = 8;
const copiedBytes = 2 ** 20;

/**
 * Makes one Parquet file of others that have the same columns, one behind the other: their row groups go from file to
 * file as they are. Durable at the end.
 * @param parts paths, at least one; each is removed once its rows are in the file
 * @param folder on the same file system, where the file is until it is whole
 */
export async function joinTables(file: string, parts: AsyncIterable<string>, folder: string): Promise<FileContent> {
  const unfinished = join(folder, 'joined');
  const content = await writeJoined(unfinished, parts);
  await rename(unfinished, file);
  return content;
}

async function writeJoined(file: string, parts: AsyncIterable<string>): Promise<FileContent> {
  await using joined = await open(file, 'wx');
  const hash = createHash('sha256');
  let size = 0;
  const write = async (bytes: Buffer) => {
    hash.update(bytes);
    size += bytes.length;
    // Writes on from where the file is, all of it.
    await joined.writeFile(bytes);
  };
  const footers: ThriftStruct[] = [];
  const places: number[] = [];
  await write(magic);
  for await (const part of parts) {
    await using from = await open(part, 'r');
    const { footer, bodyEnd } = await readFooter(from);
    footers.push(footer);
    places.push(size - magic.length);
    await copyBytes(from, write, { from: magic.length, to: bodyEnd });
    await rm(part);
  }
  const footer = writeThrift(joinFooters(footers, places));
  const footerSize = Buffer.alloc(4);
  footerSize.writeUInt32LE(footer.length);
  await write(Buffer.concat([footer, footerSize, magic]));
  await joined.sync();
  return { size, sha256: hash.digest('hex') };
}

async function readFooter(file: FileHandle): Promise<{ readonly footer: ThriftStruct; readonly bodyEnd: number }> {
  const { size } = await file.stat();
  const footerBytes = (await readBytes(file, size - tailBytes, tailBytes)).readUInt32LE();
  const bodyEnd = size - tailBytes - footerBytes;
  return { footer: readThrift(await readBytes(file, bodyEnd, footerBytes)), bodyEnd };
}

async function readBytes(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

async function copyBytes(
  source: FileHandle,
  write: (bytes: Buffer) => Promise<void>,
  range: { readonly from: number; readonly to: number },
) {
  const buffer = Buffer.allocUnsafe(copiedBytes);
  for (let at = range.from; at < range.to; ) {
    const { bytesRead } = await source.read(buffer, 0, Math.min(copiedBytes, range.to - at), at);
    if (bytesRead === 0) throw new Error('A part of a table is shorter than it was.');
    await write(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
