import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Row } from '../artifacts/artifact.js';
import { start } from './packed-rows.work.js';

/** Exports what it is given as `start`. */
const given = 'data:text/javascript,export const start = (settings) => settings';

it('hears between few rows, where these are wide, that nobody wants them any more', async () => {
  const controller = new AbortController();
  const names = Array.from({ length: 300 }, (_, index) => `c${index}`);
  let made = 0;
  function* rows(): Iterable<Row> {
    for (; made < 150; made += 1) {
      // As a message of who ended the work comes: when others have their turn.
      if (made === 10) setImmediate(() => controller.abort(new Error('nobody wants them')));
      yield Object.fromEntries(names.map((name) => [name, 'x'.repeat(1000)]));
    }
  }
  const settings = {
    module: given,
    settings: () => ({ rows: rows(), told: () => undefined }),
    columns: Object.fromEntries(names.map((name) => [name, 'VARCHAR'])),
    folder: await temporaryFolder(),
  };
  const pack = await start(settings, () => {}, controller.signal);
  await expect(pack({ number: 0, task: undefined })).rejects.toThrow('nobody wants them');
  expect(made).toBeLessThan(20);
});
