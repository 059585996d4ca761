import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from '../files/unless-missing.js';

/** Written last into a checkpoint's folder; see CheckpointSaved in trainer.proto. */
export const checkpointMarker = 'simmer-checkpoint.json';

/** A complete one. */
export interface Checkpoint {
  readonly step: number;
  readonly folder: string;
}

/**
 * The newest complete checkpoint of a training job's output folder.
 * @param leftOut steps of those that are not to be taken
 */
export async function newestCheckpoint(
  outputFolder: string,
  leftOut: ReadonlySet<number> = new Set(),
): Promise<Checkpoint | undefined> {
  const parent = join(outputFolder, 'checkpoints');
  const names = (await readdir(parent).catch(unlessMissing)) ?? [];
  // What begins with a dot is a draft, marked or not: its trainer may have been killed before it named it.
  const named = names.filter((name) => !name.startsWith('.'));
  const found = await Promise.all(named.map((name) => readCheckpoint(join(parent, name))));
  const complete = found.filter((checkpoint) => checkpoint !== undefined);
  return complete.filter(({ step }) => !leftOut.has(step)).reduce(newer, undefined);
}

function newer(best: Checkpoint | undefined, other: Checkpoint): Checkpoint {
  return best === undefined || other.step > best.step ? other : best;
}

async function readCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  try {
    const marker: unknown = JSON.parse(await readFile(join(folder, checkpointMarker), 'utf8'));
    const { format, step } = marker as { format?: unknown; step?: unknown };
    return format === 1 && typeof step === 'number' ? { step, folder } : undefined;
  } catch {
    return undefined;
  }
}
