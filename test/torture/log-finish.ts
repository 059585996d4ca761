import { readFile } from 'node:fs/promises';
import type { Burst } from './log-script.js';
import { fingerprint, runLogScript } from './log-script-run.js';
import type { Damage, Witness } from './log-witness.js';

/**
 * Takes a run up in this process, undisturbed, to its end: then everything that was ever promised must be in the log, and
 * the whole script with it, once and in order.
 */
export async function finishRun(
  run: { readonly file: string; readonly bursts: readonly Burst[] },
  witness: Witness,
  damage: Damage,
  where: string,
): Promise<void> {
  try {
    const failure = await runLogScript({
      file: run.file,
      bursts: run.bursts,
      onOpened: (lastSequence) => witness.opened(lastSequence, damage, where),
      onAcknowledged: (event) => witness.acknowledged(event.sequence, fingerprint(event), damage, where),
      onSeen: (event) => witness.seen(event.sequence, fingerprint(event), damage, where),
    });
    if (failure !== undefined) damage.violation(where, `failed on a sound disk: ${failure.message}`);
  } catch (error) {
    damage.violation(where, `could not be opened: ${(error as Error).message}`);
  }
  witness.check(await readFile(run.file), damage, true);
}
