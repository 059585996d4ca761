import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes a folder that the caller removes. Where TMPDIR names none, it is in /tmp, as Python has it. */
export async function makeTemporaryFolder(prefix: string): Promise<string> {
  return mkdtemp(join(tmpdir(), prefix)).catch(() => mkdtemp(join('/tmp', prefix)));
}
