import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { defineSink } from '../../plugin/define.js';
import { eventsFile } from '../run-folder.js';
import { writeReport } from './write-report.js';

it('says that the disk is full where the report does not fit any more', async () => {
  const home = await temporaryFolder();
  const store = await ArtifactStore.open(home);
  const runFolder = store.runFolder('one');
  await mkdir(runFolder, { recursive: true });
  await writeFile(
    join(runFolder, 'plan.json'),
    JSON.stringify({ format: 1, recipe: 'one', recipeFolder: home, stages: [] }),
  );
  await writeFile(eventsFile(runFolder), '');
  const definition = defineSink({
    description: 'Writes to a disk that is full.',
    options: z.strictObject({}),
    open: () => ({
      onEvent() {},
      async beforeCompleted() {
        throw Object.assign(new Error('write'), { code: 'ENOSPC' });
      },
    }),
  });
  await expect(writeReport('one', store, { sink: async () => ({ definition }) })).rejects.toMatchObject({
    code: 'no_disk_space',
  });
});
