import { appendFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event } from './catalogue.js';
import { entries, eventsIn, fact, telemetry, writeFacts } from './run-log.fixture.js';
import { RunLog } from './run-log.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'events.jsonl');
});

describe('opening a log', () => {
  it('cuts off a torn last line', async () => {
    await writeFacts(file, 3);
    const whole = (await stat(file)).size;
    await appendFile(file, '{"runId":"r","sequence":4,"ti');
    const { log, lastSequence, droppedBytes } = await RunLog.open(file);
    await log.close();
    expect({ lastSequence, droppedBytes, size: (await stat(file)).size }).toEqual({
      lastSequence: 3,
      droppedBytes: 29,
      size: whole,
    });
  });

  it('cuts off a last line that is whole but for its line end', async () => {
    await writeFacts(file, 3);
    await truncate(file, (await stat(file)).size - 1);
    const { log, lastSequence } = await RunLog.open(file);
    await log.close();
    expect(lastSequence).toBe(2);
    expect(await eventsIn(file)).toHaveLength(2);
  });

  it('cuts off pages of zeros that a power cut left of the last write', async () => {
    await writeFacts(file, 2);
    const { log } = await RunLog.open(file);
    await Promise.all([3, 4, 5, 6].map((sequence) => log.append(entries(fact(sequence)))));
    await log.close();
    const bytes = await readFile(file);
    const third = bytes.toString().split('\n').slice(0, 2).join('\n').length + 20;
    await writeFile(file, bytes.fill(0, third, third + 100));
    const opened = await RunLog.open(file);
    await opened.log.close();
    expect(opened.lastSequence).toBe(2);
    expect(await eventsIn(file)).toEqual([fact(1), fact(2)]);
  });

  it('refuses zeros in what was durable', async () => {
    await writeFacts(file, 6);
    const bytes = await readFile(file);
    await writeFile(file, bytes.fill(0, 250, 260));
    await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'log_damaged' });
    expect(await readFile(file)).toEqual(bytes);
  });

  it.each([
    [
      'a changed line',
      (lines: string[]) => [lines[0]!, lines[1]!.replace('{', '['), lines[2]!],
      'Line 2',
      'is not JSON',
    ],
    ['a last line that was changed', (lines: string[]) => [...lines.slice(0, 2), 'x'], 'Line 3', 'is not JSON'],
    ['a missing line', (lines: string[]) => [lines[0]!, lines[2]!], 'Line 2', 'has the sequence 3, not 2'],
    ['a line told twice', (lines: string[]) => [...lines, lines[2]!], 'Line 4', 'has the sequence 3, not 4'],
    ['lines in another order', (lines: string[]) => lines.toReversed(), 'Line 1', 'has the sequence 3, not 1'],
    [
      'an event of another run',
      (lines: string[]) => [...lines.slice(0, 2), lines[2]!.replace('"r"', '"s"')],
      'Line 3',
      'the run s',
    ],
    ['an empty line', (lines: string[]) => [lines[0]!, '', ...lines.slice(1)], 'Line 2', 'is not JSON'],
    ['an event without data', (lines: string[]) => [lines[0]!.replace('"data"', '"date"')], 'Line 1', 'has no data'],
    ['an event without time', (lines: string[]) => [lines[0]!.replace('2026', 'x')], 'Line 1', 'has no time'],
  ])('refuses %s, and changes nothing', async (_name, change, ...words) => {
    await writeFacts(file, 3);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const text = change(lines).map((line) => `${line}\n`);
    await writeFile(file, text);
    const error: Error = await RunLog.open(file).then(
      () => expect.unreachable(),
      (error) => error,
    );
    expect(error).toMatchObject({ code: 'log_damaged', kind: 'environment' });
    for (const word of [file, ...words]) expect(error.message).toContain(word);
    expect(await readFile(file, 'utf8')).toBe(text.join(''));
  });

  it('takes types that it does not know, and refuses a newer format', async () => {
    const data = { format: 1, simmerVersion: '1', recipe: 'x', planDigest: '', seed: 1 } as const;
    const created = { ...fact(1), type: 'run.created', data };
    const unknown = { ...fact(2), type: 'moon.risen', data: { phase: 3 } };
    await writeFile(file, `${JSON.stringify(created)}\n${JSON.stringify(unknown)}\n`);
    const { log, lastSequence } = await RunLog.open(file);
    await log.close();
    expect(lastSequence).toBe(2);
    await writeFile(file, `${JSON.stringify({ ...created, data: { ...data, format: 2 } })}\n`);
    await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'newer_format' });
  });

  it('reads lines longer than its buffer', async () => {
    const { log } = await RunLog.open(file);
    const long = { ...fact(1), data: { name: 'x'.repeat(1_500_000), value: 1 } } as Event;
    await Promise.all([
      log.append(entries(long)),
      log.append(entries(fact(2))),
      log.append(entries({ ...long, sequence: 3 } as Event)),
    ]);
    await log.close();
    const opened = await RunLog.open(file);
    await opened.log.close();
    expect(opened.lastSequence).toBe(3);
  });
});

describe('whatever is emitted, and wherever the file is cut', () => {
  /** Bursts of events that are emitted in one go; true stands for telemetry. */
  const bursts = fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 });

  async function writeBursts(sizes: readonly (readonly boolean[])[]): Promise<readonly Event[]> {
    const { log, lastSequence } = await RunLog.open(file);
    const written: Event[] = [];
    let sequence = lastSequence;
    for (const burst of sizes) {
      const events = burst.map((isTelemetry) => {
        sequence += 1;
        return isTelemetry ? telemetry(sequence) : fact(sequence);
      });
      written.push(...events);
      const appended =
        burst.length % 3 === 0 ? [log.append(entries(...events))] : events.map((event) => log.append(entries(event)));
      if (burst.length % 2 === 0) await Promise.all(appended);
    }
    await log.close();
    return written;
  }

  it('what is found is a beginning of what was written, without a gap, and goes on', async () => {
    await fc.assert(
      fc.asyncProperty(bursts, bursts, fc.double({ min: 0, max: 1, noNaN: true }), async (before, after, share) => {
        await rm(file, { force: true });
        const written = await writeBursts(before);
        const bytes = await readFile(file);
        const cut = Math.floor(bytes.length * share);
        await truncate(file, cut);
        const whole = bytes.subarray(0, cut).toString().split('\n').length - 1;
        const { log, lastSequence, droppedBytes } = await RunLog.open(file);
        await log.close();
        expect(lastSequence).toBe(whole);
        expect(droppedBytes).toBe(cut - (bytes.subarray(0, cut).lastIndexOf('\n') + 1));
        const more = await writeBursts(after);
        expect(await eventsIn(file)).toEqual([...written.slice(0, whole), ...more]);
      }),
      { numRuns: 60 },
    );
  });

  it('lost pages of the last write cost nothing before it, and lost pages before it are never passed over', async () => {
    await fc.assert(
      fc.asyncProperty(bursts, fc.array(fc.nat(), { minLength: 1, maxLength: 4 }), async (before, pages) => {
        await rm(file, { force: true });
        await writeBursts(before);
        const durable = (await stat(file)).size;
        const { log, lastSequence } = await RunLog.open(file);
        await Promise.all([1, 2, 3, 4, 5].map((step) => log.append(entries(fact(lastSequence + step)))));
        await log.close();
        const bytes = await readFile(file);
        const lost = Buffer.from(bytes);
        for (const page of pages) {
          const start = durable + (page % (bytes.length - durable));
          lost.fill(0, start, Math.min(start + 64, bytes.length));
        }
        await writeFile(file, lost);
        const opened = await RunLog.open(file);
        await opened.log.close();
        expect(opened.lastSequence).toBeGreaterThanOrEqual(lastSequence);
        const kept = await readFile(file);
        expect(kept).toEqual(bytes.subarray(0, kept.length));

        // The line end between the two is the one byte that belongs to both.
        const damaged = Buffer.from(bytes);
        damaged[pages[0]! % (durable - 1)] = 0;
        await writeFile(file, damaged);
        await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'log_damaged' });
      }),
      { numRuns: 60 },
    );
  });
});
