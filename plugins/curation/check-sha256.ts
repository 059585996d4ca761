import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { dataError, fileError } from './data-error.js';

/** @throws UserError `checksum_differs` */
export async function checkSha256(file: string, expected: string): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash).catch((error: NodeJS.ErrnoException) => {
    throw fileError(file, error);
  });
  const found = hash.digest('hex');
  if (found === expected) return;
  throw dataError(
    'checksum_differs',
    { file },
    `its SHA-256 is ${found}, expected ${expected}.`,
    'It is another version, or was not downloaded completely: get it again, or correct `sha256`.',
  );
}
