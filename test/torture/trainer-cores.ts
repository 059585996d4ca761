import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunHarness } from 'simmerkit/testing';
import type { Event } from '../../core/events/catalogue.js';
import { random } from '../../core/random.js';
import { killedCore } from '../integration/core-process.js';
import { trainerPython } from '../python/trainer-script.js';

/** A core lives about so long, a second and a half of it to come up: the training must not end before. */
const stepsPerKill = 40;

/**
 * Kills the core at random moments while the trainer goes on, each time starts another, and reads the log. Prints what it
 * found on one line. @returns whether every step is in it once, and nothing ran again
 */
export async function tortureCores(folder: string, kills: number, seed: number): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  const { python } = await trainerPython();
  const moments = random(seed, 'kills of cores');
  const steps = kills * stepsPerKill;
  const home = join(folder, 'home');
  const core = (runId: string | undefined, killAfter: (event: Event) => number | undefined) =>
    killedCore({
      program: fileURLToPath(new URL('./trainer-core.js', import.meta.url)),
      home,
      runId,
      temporaryFolder: folder,
      environment: { SIMMER_PYTHON: python, SIMMER_CORE_STEPS: String(steps) },
      killAfter,
    });
  const first = await core(undefined, (event) => (event.type === 'step.logged' ? moments.integer(200) : undefined));
  const runId = first[0]!.runId;
  const acknowledged = [...first];
  let done = 1;
  for (; done < kills && acknowledged.at(-1)?.type !== 'run.completed'; done++) {
    acknowledged.push(...(await core(runId, () => moments.integer(1000))));
  }
  acknowledged.push(...(await core(runId, () => undefined)));
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true, home, resources: { cpus: 4 } });
  const run = await harness.resume(runId);
  if (run.outcome.status !== 'completed') throw new Error(`the run did not complete: ${JSON.stringify(run.outcome)}`);
  const logged = run.eventsOf('step.logged').map((event) => event.data);
  const result = {
    coreKills: done,
    trainerStarts: run.eventsOf('trainer.started').length,
    attachments: run.eventsOf('trainer.attached').length,
    steps,
    stepsMissing: steps - new Set(logged.map(({ step }) => step)).size,
    stepsRepeated: logged.length - new Set(logged.map(({ step }) => step)).size,
    stepsRerun: logged.filter(({ rerun }) => rerun).length,
    sequenceGaps: run.events.filter((event, index) => event.sequence !== index + 1).length,
    acknowledgedLost: acknowledged.filter(
      (event) => JSON.stringify(run.events[event.sequence - 1]) !== JSON.stringify(event),
    ).length,
  };
  console.log(JSON.stringify(result));
  const { trainerStarts, stepsMissing, stepsRepeated, stepsRerun, sequenceGaps, acknowledgedLost } = result;
  const isExact = stepsMissing + stepsRepeated + stepsRerun + sequenceGaps + acknowledgedLost === 0;
  return trainerStarts === 1 && isExact;
}
