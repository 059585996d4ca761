import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { checkpointMarker, newestCheckpoint } from './checkpoints.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

async function checkpoint(name: string, marker: string | undefined): Promise<string> {
  const path = join(folder, 'checkpoints', name);
  await mkdir(path, { recursive: true });
  if (marker !== undefined) await writeFile(join(path, checkpointMarker), marker);
  return path;
}

it('goes on from the newest checkpoint that is named and marked', async () => {
  expect(await newestCheckpoint(folder)).toBeUndefined();
  const path = await checkpoint('step-00000004', '{"format": 1, "step": 4}');
  await checkpoint('step-00000002', '{"format": 1, "step": 2}');
  await checkpoint('step-00000008', undefined);
  await checkpoint('step-00000012', '{"format": 1, "st');
  // Its trainer was killed after it had marked it, and before it gave it its name: the next one sweeps it away.
  await checkpoint('.step-00000016.draft-7', '{"format": 1, "step": 16}');
  expect(await newestCheckpoint(folder)).toEqual({ step: 4, folder: path });
});
