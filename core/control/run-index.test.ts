import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { indexRuns } from './run-index.js';

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
});

const created = { format: 1, simmerVersion: '0.1.0', recipe: 'r', planDigest: '', seed: 0 };
const failed = (message: string) => ({ error: { code: 'stage_failed', kind: 'runFailed', message } });

async function writeLog(events: readonly (readonly [string, unknown])[], rest = ''): Promise<void> {
  const folder = join(home, 'runs', 'r-1');
  await mkdir(folder, { recursive: true });
  const time = '2026-01-01T00:00:00.000Z';
  const lines = events.map(([type, data], index) => ({ runId: 'r-1', sequence: index + 1, time, type, data }));
  await writeFile(join(folder, 'events.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join('') + rest);
}

describe('the index of runs', () => {
  it.each([10, 70_000, 1_000_000])('finds the end of a run whose last event has %d characters', async (length) => {
    await writeLog([
      ['run.created', created],
      ['run.failed', failed('é'.repeat(length))],
    ]);
    expect(await indexRuns(home)).toMatchObject([{ runId: 'r-1', lastSequence: 2, end: { type: 'run.failed' } }]);
  });

  it('goes by the last whole event where one was torn', async () => {
    await writeLog([['run.created', created]], `{"runId":"r-1",${' '.repeat(300_000)}`);
    expect(await indexRuns(home)).toEqual([{ runId: 'r-1', createdAt: '2026-01-01T00:00:00.000Z', lastSequence: 1 }]);
  });
});
