import { sha256OfFile } from 'simmerkit';
import { dataError, fileError } from './data-error.js';

/** @throws UserError `checksum_differs` */
export async function checkSha256(file: string, expected: string): Promise<void> {
  const found = await sha256OfFile(file).catch((error: NodeJS.ErrnoException) => {
    throw fileError(file, error);
  });
  if (found === expected) return;
  throw dataError(
    'checksum_differs',
    { file },
    `its SHA-256 is ${found}, expected ${expected}.`,
    'It is another version, or was not downloaded completely: get it again, or correct `sha256`.',
  );
}
