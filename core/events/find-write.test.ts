import { appendFile, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event } from './catalogue.js';
import { sameWriteMark } from './event-line.js';
import { findWrite } from './find-write.js';
import { readEvents, reader } from './replay.js';
import { formatEventLine, telemetry } from './run-log.fixture.js';

/** Some 8 MB. */
const count = 60_000;
let file: string;

beforeEach(async () => {
  file = join(await temporaryFolder(), 'events.jsonl');
  await writeFile(file, writesOf(1, count));
});

/** Lines as the log writes them, 500 in a write. */
function writesOf(first: number, events: number): string {
  const lines = Array.from({ length: events }, (_, at) => `${formatEventLine(telemetry(first + at))}\n`);
  return lines.map((line, at) => (at % 500 === 0 ? line : `${sameWriteMark}${line}`)).join('');
}

async function found(sequence: number) {
  await using handle = await open(file, 'r');
  let bytesRead = 0;
  const read = async (buffer: Uint8Array, position: number) => {
    const bytes = await reader(file, handle)(buffer, position);
    bytesRead += bytes;
    return bytes;
  };
  const { size } = await handle.stat();
  return { start: await findWrite(read, size, sequence), bytesRead, size };
}

describe('looking for an event in a long log', () => {
  it('finds a write that begins with it or shortly before it', async () => {
    const content = await readFile(file);
    const anywhere = fc.integer({ min: 10_000, max: count + 1 });
    await fc.assert(
      fc.asyncProperty(anywhere, async (sequence) => {
        const { offset, sequence: first } = (await found(sequence)).start!;
        expect(content.toString('utf8', offset, offset + 40)).toMatch(`{"runId":"r","sequence":${first},`);
        expect(first % 500).toBe(1);
        expect(first).toBeLessThanOrEqual(sequence);
        expect(sequence - first).toBeLessThan(4_000);
      }),
      { numRuns: 30 },
    );
  });

  it('reads a part of it that does not grow with it', async () => {
    const { bytesRead, size } = await found(count);
    expect(bytesRead).toBeLessThan(size / 3);
  });

  it('gives the events from there on, and none before', async () => {
    for (const first of [2, 30_000, count - 1, count + 1]) {
      const read: Event[] = [];
      for await (const event of readEvents(file, { fromSequence: first })) {
        read.push(event);
        if (read.length === 3) break;
      }
      expect(read.map(({ sequence }) => sequence)).toEqual(
        [first, first + 1, first + 2].filter((sequence) => sequence <= count),
      );
    }
  });

  it('does not begin within a last write that was torn', async () => {
    const { size } = await stat(file);
    const lines = Buffer.from(writesOf(count + 1, 5_000).replaceAll('\n{', `\n${sameWriteMark}{`));
    // Its first pages never reached the disk.
    lines.fill(0, 0, 4096 * 3);
    await appendFile(file, lines);
    const { start } = await found(count + 4_000);
    expect(start!.offset).toBeLessThan(size);
    const read: Event[] = [];
    for await (const event of readEvents(file, { fromSequence: count - 1 })) read.push(event);
    expect(read.map(({ sequence }) => sequence)).toEqual([count - 1, count]);
  });
});
