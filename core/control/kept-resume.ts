import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../document/canonical-json.js';
import type { RunOfHome } from '../engine/run-outcome.js';
import { UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
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
 * Durable when it resolves. @throws UserError `no_disk_space` and its like
 */
export async function keepResume(runFolder: string, resume: KeptResume): Promise<void> {
  await writingTo(runFolder, () => writeFileDurably(fileIn(runFolder), `${JSON.stringify(resume)}\n`));
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

/**
 * A resume that is sent again, since its answer was lost, is no other one.
 * @throws UserError `budget_not_changed` where it is another
 */
export async function refuseOtherChange({ runId, runFolder }: RunOfHome, change: BudgetChange): Promise<void> {
  const asked = (await readKeptResume(runFolder))?.budgetChange;
  if (canonicalJson({ ...asked, ...change }) === canonicalJson(asked ?? {})) return;
  throw new UserError('budget_not_changed', `Run ${runId} waits or runs already: its budget stays as it is.`, {
    kind: 'environment',
    hint: 'Cancel it first, which keeps all that is paid for, and resume it with the new budget.',
  });
}

function fileIn(runFolder: string): string {
  return join(runFolder, 'resume.json');
}
