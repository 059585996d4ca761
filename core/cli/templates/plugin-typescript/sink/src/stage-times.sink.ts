import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { defineSink, formatDuration, z } from 'simmerkit';

export const stageTimes = defineSink({
  description: 'Writes how long each stage took into a file in the folder of the run.',
  options: z.strictObject({
    file: z.string().default('stage-times.txt').describe('Name of the file.'),
  }),
  async open({ file }, { runFolder }) {
    // After a resume the whole run is told again, from its first event: the file begins anew.
    const output = await open(join(runFolder, file), 'w');
    return {
      async onEvent(event) {
        if (event.type === 'stage.reused') await output.write(`${event.stage}: made before\n`);
        if (event.type === 'stage.completed') {
          await output.write(`${event.stage}: ${formatDuration(event.data.seconds)}\n`);
        }
      },
      close: () => output.close(),
    };
  },
});
