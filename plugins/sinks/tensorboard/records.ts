import { crc32c } from './crc32c.js';

/**
 * Records of a TFRecord file: length (64 bits), its checksum, the bytes, their checksum, all little-endian
 * (https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details").
 */
const headerBytes = 12;
const footerBytes = 4;

/** The record as it stands in a file. */
export function frameRecord(content: Uint8Array): Uint8Array {
  const record = new Uint8Array(headerBytes + content.length + footerBytes);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(content.length), true);
  view.setUint32(8, maskedChecksum(record.subarray(0, 8)), true);
  record.set(content, headerBytes);
  view.setUint32(headerBytes + content.length, maskedChecksum(content), true);
  return record;
}

/** The records of a file up to the first one that is torn or damaged, and how many bytes they take there. */
export function intactRecords(file: Uint8Array): { readonly records: readonly Uint8Array[]; readonly bytes: number } {
  const records: Uint8Array[] = [];
  let bytes = 0;
  for (let record = recordAt(file, 0); record !== undefined; record = recordAt(file, bytes)) {
    records.push(record);
    bytes += headerBytes + record.length + footerBytes;
  }
  return { records, bytes };
}

function recordAt(file: Uint8Array, offset: number): Uint8Array | undefined {
  const rest = file.subarray(offset);
  if (rest.length < headerBytes) return undefined;
  const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
  if (view.getUint32(8, true) !== maskedChecksum(rest.subarray(0, 8))) return undefined;
  const end = headerBytes + Number(view.getBigUint64(0, true));
  if (rest.length < end + footerBytes) return undefined;
  const content = rest.subarray(headerBytes, end);
  return view.getUint32(end, true) === maskedChecksum(content) ? content : undefined;
}

/** Masked, so that the checksum of something that holds checksums is sound (tensorflow, lib/hash/crc32c.h). */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
