import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../files/durable-files.js';
import type { BudgetChange } from '../recipe/budget.js';

const keptResume = z.object({
  /** Sequence of the run's last event when it was asked for. Once there are more, it was taken up, or given up. */
  lastSequence: z.int(),
  budgetChange: z.partialRecord(z.enum(['usd', 'gpuHours', 'wallClockSeconds']), z.number().nullable()),
});

/** The last resume that clients of servers asked for. */
export interface KeptResume {
  readonly lastSequence: number;
  readonly budgetChange: BudgetChange;
}

/**
 * Keeps that a client asked for a run to go on: its log may have an end from before, and it may not be a server's run.
 * Durable when it resolves.
 */
export async function keepResume(runFolder: string, resume: KeptResume): Promise<void> {
  await writeFileDurably(fileIn(runFolder), `${JSON.stringify(resume)}\n`);
}

/** Undefined where nobody asked. */
export async function readKeptResume(runFolder: string): Promise<KeptResume | undefined> {
  try {
    return keptResume.parse(JSON.parse(await readFile(fileIn(runFolder), 'utf8')));
  } catch {
    // Mostly it is not there. One that was damaged keeps no server from starting.
    return undefined;
  }
}

function fileIn(runFolder: string): string {
  return join(runFolder, 'resume.json');
}
