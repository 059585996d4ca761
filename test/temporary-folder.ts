import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A new folder for the test that calls this, or for which a `beforeEach` does; gone when the test is. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'simmer-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
