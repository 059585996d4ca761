import { mkdtempSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

const template = join(tmpdir(), 'simmer-test-');

/** A new folder for the test that calls this, or for which a `beforeEach` does; gone when the test is. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(template);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A new folder for all tests of the file, or of the `describe`, that calls this; gone after them. */
export function sharedFolder(): string {
  const folder = mkdtempSync(template);
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
