import { createReadStream, type ReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { createGunzip } from 'node:zlib';
import { isUserError } from 'simmerkit';
import { dataError, fileError } from './data-error.js';

type Bytes = AsyncIterable<Buffer>;

/** Ending of a packed file to what unpacks it. Members that stand one behind the other (`cat a.gz b.gz`) are one text. */
const unpackers: Readonly<Record<string, (packed: ReadStream) => Bytes>> = {
  '.gz': unpackGzip,
  '.zst': unpackZst,
  '.xz': unpackXz,
};

/** The name of a file without the ending that says how it is packed, in lower case. */
export function unpackedName(file: string): string {
  const name = file.toLowerCase();
  const ending = packing(name);
  return ending === undefined ? name : name.slice(0, -ending.length);
}

export function isPacked(file: string): boolean {
  return packing(file.toLowerCase()) !== undefined;
}

/** The bytes of a file, unpacked. @param range of a file that is not packed: only these @throws UserError `malformed_data` where it is cut or not what its name says */
export async function* bytesOf(file: string, range?: { readonly from: number; readonly to: number }): Bytes {
  const part = range === undefined ? {} : { start: range.from, end: range.to - 1 };
  const stream = createReadStream(file, { highWaterMark: 2 ** 20, ...part });
  const ending = packing(file.toLowerCase());
  let systemError: NodeJS.ErrnoException | undefined;
  stream.once('error', (error) => {
    // What ends before all of its file is read aborts the rest.
    if (error.name !== 'AbortError') systemError = error;
  });
  try {
    yield* ending === undefined ? (stream as Bytes) : (unpackers[ending] as (packed: ReadStream) => Bytes)(stream);
  } catch (error) {
    if (isUserError(error)) throw error;
    if (ending === undefined || systemError !== undefined) throw fileError(file, systemError ?? (error as Error));
    throw dataError(
      'malformed_data',
      { file },
      `it cannot be unpacked (${(error as Error).message}).`,
      `Get the file again: it is cut, damaged, or not what ${ending} says.`,
      error,
    );
  } finally {
    stream.destroy();
  }
}

function packing(lowerCaseName: string): string | undefined {
  return Object.keys(unpackers).find((ending) => lowerCaseName.endsWith(ending));
}

/** Node takes a zero behind a member for padding, and reads no further: other members may follow it, or a damaged one. */
async function* unpackGzip(packed: ReadStream): Bytes {
  const unpacking = createGunzip();
  yield* pipeline(packed, unpacking, () => {}) as Bytes;
  for await (const bytes of createReadStream(packed.path, { start: unpacking.bytesWritten })) {
    if ((bytes as Buffer).some((byte) => byte !== 0)) throw new Error('there is more behind zeros');
  }
}

/** Node 20 has no Zstandard of its own. */
async function* unpackZst(packed: Readable): Bytes {
  const { unpackZstandard } = await import('./zstandard.js');
  yield* unpackZstandard(packed);
}

async function* unpackXz(packed: ReadStream): Bytes {
  await refuseSha256(String(packed.path));
  const { XzReadableStream } = (await import('xz-decompress')).default;
  const unpacked = new XzReadableStream(Readable.toWeb(packed) as unknown as ReadableStream);
  for await (const bytes of unpacked as unknown as WebStream<Uint8Array>) {
    yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

/** What unpacks `.xz` does not know this check, and would say that the file is damaged. */
async function refuseSha256(file: string): Promise<void> {
  const handle = await open(file, 'r').catch(() => undefined);
  // What is wrong with it, the stream tells.
  if (handle === undefined) return;
  await using _ = handle;
  const { buffer } = await handle.read(Buffer.alloc(12), 0, 12, 0);
  // The header: six bytes of magic, a zero, and the kind of check (The .xz File Format, section 2.1.1.2).
  if (!buffer.subarray(0, 7).equals(Buffer.from('fd377a585a0000', 'hex')) || buffer[7] !== 0x0a) return;
  throw dataError(
    'unsupported_check',
    { file },
    'it is checked by SHA-256, which is not supported here.',
    'Pack it again with another check, as xz does by default: xz -dc FILE | xz > NEW.',
  );
}
