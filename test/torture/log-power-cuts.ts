import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Random } from '../../core/random.js';
import type { Burst } from './log-script.js';
import { fingerprint, runLogScript } from './log-script-run.js';
import type { Damage, Witness } from './log-witness.js';

const sectorBytes = 512;
/** Few enough that what the cut left may reach beyond them. */
const mostEventsAfter = 12;

interface PowerCut {
  /** What the file held when the power went. */
  readonly bytes: Buffer;
  /** How much of it had been synced. */
  readonly syncedBytes: number;
  /** Whether the file's name had been synced. */
  readonly isNamed: boolean;
}

/** What the disk may hold after the power went: each is what was synced, and some of what was not. */
export function afterPowerCut(cut: PowerCut, choose: Random): readonly Buffer[] {
  const { bytes, syncedBytes } = cut;
  const unsynced = bytes.length - syncedBytes;
  if (!cut.isNamed && syncedBytes === 0) return [Buffer.alloc(0)];
  if (unsynced <= 0) return [bytes];
  const torn = bytes.subarray(0, syncedBytes + choose.integer(unsynced + 1));
  return [torn, withLostSectors(bytes, syncedBytes, choose), withLostSectors(torn, syncedBytes, choose)];
}

/** The file has its length, but some of what was not synced reads as zeros: the disk wrote in an order of its own. */
function withLostSectors(bytes: Buffer, syncedBytes: number, choose: Random): Buffer {
  const damaged = Buffer.from(bytes);
  for (let start = syncedBytes; start < damaged.length; ) {
    const end = Math.min(damaged.length, (Math.floor(start / sectorBytes) + 1) * sectorBytes);
    if (choose.integer(2) === 0) damaged.fill(0, start, end);
    start = end;
  }
  return damaged;
}

/** Takes a run up from what a power cut left, and holds the promises of before and after against it. */
export async function resumeAfterPowerCut(
  file: string,
  disk: Buffer,
  bursts: readonly Burst[],
  promises: Witness,
  damage: Damage,
  choose: Random,
): Promise<void> {
  const witness = promises.copy();
  const where = `power cut at ${disk.length} bytes`;
  await writeFile(file, disk);
  witness.check(disk, damage, false);
  try {
    const failure = await runLogScript({
      file,
      bursts,
      maxEvents: 1 + choose.integer(mostEventsAfter),
      onOpened: (lastSequence) => witness.opened(lastSequence, damage, where),
      onAcknowledged: (event) => witness.acknowledged(event.sequence, fingerprint(event), damage, where),
      onSeen: (event) => witness.seen(event.sequence, fingerprint(event), damage, where),
    });
    if (failure !== undefined) damage.violation(where, failure.message);
  } catch (error) {
    damage.violation(where, `the log could not be opened again: ${(error as Error).message}`);
  }
  const after = await readFile(file);
  const torn = damage.torn;
  witness.check(after, damage, false);
  if (damage.torn > torn) damage.violation(where, 'the log is torn after it was taken up and closed');
  await rm(file);
}
