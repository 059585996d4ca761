import { Decompress } from 'fzstd';
import xxhash from 'xxhash-wasm';

/**
 * Unpacks Zstandard (RFC 8878), frame by frame, since what a frame comes to is checked by its checksum, where it has one:
 * fzstd does not.
 * @throws Error where it is cut, damaged, or something else
 */
export async function* unpackZstandard(packed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const { create64 } = await xxhash();
  const source = new PackedBytes(packed);
  while (await source.hasMore()) {
    const magic = await source.take(4);
    if ((magic.readUInt32LE() & 0xfffffff0) === skippableMagic) {
      await source.skip((await source.take(4)).readUInt32LE());
      continue;
    }
    if (magic.readUInt32LE() !== frameMagic) throw new Error('it is no Zstandard');
    const descriptor = await source.take(1);
    const header = await source.take(headerBytes(descriptor.readUInt8()));
    const checksumBytes = hasChecksum(descriptor.readUInt8()) ? 4 : 0;
    const hash = create64();
    let ready: Buffer[] = [];
    const decompress = new Decompress((bytes) => {
      hash.update(bytes);
      ready.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    });
    decompress.push(Buffer.concat([magic, descriptor, header]));
    for (let isLast = false; !isLast; ) {
      const blockHeader = await source.take(3);
      const told = blockHeader.readUIntLE(0, 3);
      isLast = (told & 1) === 1;
      const isRun = ((told >> 1) & 3) === 1;
      const block = [blockHeader, await source.take(isRun ? 1 : told >> 3)];
      const checksum = await source.take(isLast ? checksumBytes : 0);
      decompress.push(Buffer.concat([...block, checksum]), isLast);
      if (checksum.length > 0 && checksum.readUInt32LE() !== Number(hash.digest() & 0xffffffffn))
        throw new Error('a checksum in it differs');
      yield* ready;
      ready = [];
    }
  }
}

const frameMagic = 0xfd2fb528;
/** The first of sixteen. What stands in such a frame is no content. */
const skippableMagic = 0x184d2a50;

function hasChecksum(descriptor: number): boolean {
  return (descriptor & 4) !== 0;
}

/** What follows a frame's descriptor: the size of the window, the number of a dictionary, the size of the content. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const [windowBytes, leastContentBytes] = isSingleSegment ? [0, 1] : [1, 0];
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const contentBytes = [leastContentBytes, 2, 4, 8][descriptor >> 6] as number;
  return windowBytes + dictionaryBytes + contentBytes;
}

/** Takes bytes of a stream, as many as are asked for. */
class PackedBytes {
  private readonly parts: AsyncIterator<Buffer>;
  private left: Buffer = Buffer.alloc(0);

  constructor(packed: AsyncIterable<Buffer>) {
    this.parts = packed[Symbol.asyncIterator]();
  }

  async hasMore(): Promise<boolean> {
    while (this.left.length === 0) {
      const { done, value } = await this.parts.next();
      if (done === true) return false;
      this.left = value;
    }
    return true;
  }

  async take(count: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    for (let missing = count; missing > 0; ) {
      const part = await this.some(missing);
      taken.push(part);
      missing -= part.length;
    }
    return taken.length === 1 ? (taken[0] as Buffer) : Buffer.concat(taken);
  }

  async skip(count: number): Promise<void> {
    for (let missing = count; missing > 0; ) missing -= (await this.some(missing)).length;
  }

  private async some(most: number): Promise<Buffer> {
    if (!(await this.hasMore())) throw new Error('it is cut');
    const part = this.left.subarray(0, most);
    this.left = this.left.subarray(part.length);
    return part;
  }
}
