import { createHash, randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type ServiceError, status } from '@grpc/grpc-js';
import type { StartTrainingRequest, TrainerEvent } from '../../../generated/simmer/trainer/v1/trainer.js';
import { checkpointMarker, newestCheckpoint } from '../../../trainer/checkpoints.js';
import { Deviation, demand } from '../../verification.js';
import { demandStatus, refusedHonestly, type TrainerCheck } from '../check.js';
import { named } from '../named.js';
import type { TrainerUnderTest } from '../trainer-under-test.js';
import { startedOf, stepsOf } from '../training-events.js';
import { upTo } from './training.js';
import { textOf } from './watching.js';

/** What a stale attempt, or one that goes on from nothing, may be refused with. */
const refusals: readonly status[] = [status.FAILED_PRECONDITION, status.INVALID_ARGUMENT];

/** Checkpoints, kills, and going on. */
export const recoveringChecks: readonly TrainerCheck[] = [
  {
    name: 'checkpoint-now',
    expects:
      'Checkpoint to return a checkpoint that is complete on disk, and FAILED_PRECONDITION once the attempt ended',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { attemptId, outputFolder } = await bench.startEndless(trainer);
      const { checkpoint } = await trainer.call(trainer.client.checkpoint, { attemptId });
      const found = await newestCheckpoint(outputFolder);
      const isThere = checkpoint !== undefined && found?.folder === checkpoint.path && found.step === checkpoint.step;
      demand(isThere, `${checkpointMarker} in the folder returned, with its step`, { checkpoint, found });
      demand(checkpoint.bytes > 0n, 'its size in bytes', checkpoint);
      await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
      const refusal = await trainer.refusal(trainer.call(trainer.client.checkpoint, { attemptId }));
      demandStatus(refusal, [status.FAILED_PRECONDITION], 'FAILED_PRECONDITION after its end');
    },
  },
  {
    name: 'checkpoint-schedule',
    expects: 'a checkpoint every checkpoint_every_steps in checkpoints/step-000000NN, told of, the newest kept',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const { request, events } = await bench.whole();
      const saved = events.flatMap(({ event }) => (event?.$case === 'checkpointSaved' ? [event.value] : []));
      const steps = saved.map(({ step }) => step);
      demand(String(steps) === '4,8,12', 'checkpoint_saved of the steps 4, 8 and 12', steps);
      const names = saved.map(({ path }) => basename(path));
      const expected = ['step-00000004', 'step-00000008', 'step-00000012'];
      demand(String(names) === String(expected), expected.join(', '), names);
      const kept = (await readdir(join(request.outputFolder, 'checkpoints'))).filter((name) => !name.startsWith('.'));
      demand(String(kept.toSorted()) === String(expected.slice(1)), 'the newest two, as checkpoints_kept says', kept);
    },
  },
  {
    name: 'checkpoints-kept',
    expects:
      'a checkpoint, too, once checkpoint_every_seconds went by, and those of checkpoint_kept_every_steps to stay',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      // So short a time that it has gone by after each step.
      const change = { checkpointEverySeconds: 1e-9, checkpointsKept: 1, checkpointKeptEverySteps: 3 };
      const tried = await bench.attempt({ maxSteps: 8, ...change });
      if (tried instanceof Error) return await refusedHonestly(bench, tried, named(change));
      const { request, events } = tried;
      const saved = events.flatMap(({ event }) => (event?.$case === 'checkpointSaved' ? [event.value.step] : []));
      demand(String(saved) === String(upTo(8)), `checkpoint_saved of all 8 steps with ${named(change)}`, saved);
      const kept = await checkpointNames(request);
      const expected = [3, 6, 8].map((step) => `step-0000000${step}`);
      demand(String(kept) === String(expected), `${expected.join(', ')} with ${named(change)}`, kept);
      return undefined;
    },
  },
  {
    name: 'journal-after-kill',
    expects:
      'after kill -9, every event that was told, unchanged, then training_failed with trainer_exited and retryable',
    needs: ['train'],
    async run(bench) {
      const { seen, told, runningAttemptAfterKill } = await bench.killed();
      demand(!(told instanceof Error), 'the events of the killed attempt', told);
      const [before, after] = [textOf(seen), textOf(told)];
      const lost = before.findIndex((text, index) => after[index] !== text);
      if (lost !== -1) throw new Deviation(before[lost] ?? '', after[lost] ?? 'nothing');
      const end = told.at(-1)?.event;
      const isClosed = end?.$case === 'trainingFailed' && end.value.code === 'trainer_exited' && end.value.retryable;
      demand(isClosed, 'training_failed, trainer_exited, retryable', end);
      demand(runningAttemptAfterKill === undefined, 'no running attempt', runningAttemptAfterKill);
    },
  },
  {
    name: 'resume',
    expects: 'a killed job to go on after its newest checkpoint; steps that ran before, and no others, marked rerun',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const { request, ranBefore, resumed, resumedFrom } = await bench.killed();
      demand(resumedFrom !== undefined, 'a complete checkpoint after step 4', 'none');
      const started = startedOf(resumed);
      demand(started.resumedAfterStep === resumedFrom.step, `resumed_after_step = ${resumedFrom.step}`, started);
      const steps = stepsOf(resumed);
      demand(steps[0]?.step === resumedFrom.step + 1, `step ${resumedFrom.step + 1} first`, steps[0]);
      const total = request.hyperparameters?.maxSteps;
      demand(steps.at(-1)?.step === total, `step ${total} last`, steps.at(-1));
      demand(resumed.at(-1)?.event?.$case === 'trainingCompleted', 'training_completed', resumed.at(-1));
      const unmarked = steps.filter(({ step, rerun }) => ranBefore.has(step) && !rerun);
      demand(unmarked.length === 0, 'rerun = true of steps that were told before', unmarked);
      // Steps may have run that were not told when the trainer was killed; the last of all cannot have.
      demand(steps.at(-1)?.rerun === false, 'rerun = false of a step that never ran before', steps.at(-1));
    },
  },
  {
    name: 'determinism',
    expects: 'a killed job to give the losses, and the weights bit for bit, of one that nothing disturbed',
    needs: ['train', 'checkpoint', 'deterministicResume'],
    async run(bench) {
      const { request, seen, resumed } = await bench.killed();
      const trainer = await bench.trainer();
      const undisturbed = { ...(await bench.training()), hyperparameters: request.hyperparameters };
      await trainer.call(trainer.client.startTraining, undisturbed);
      const expected = new Map(
        stepsOf(await trainer.events(undisturbed.attemptId)).map(({ step, loss }) => [step, loss]),
      );
      for (const { step, loss } of [...stepsOf(seen), ...stepsOf(resumed)]) {
        demand(loss === expected.get(step), `loss ${expected.get(step)} of step ${step}`, String(loss));
      }
      const [first, second] = [await digestOf(undisturbed), await digestOf(request)];
      demand(first === second, `weights with SHA-256 ${first}`, second);
    },
  },
  {
    name: 'half-checkpoint',
    expects: 'a refusal to go on from a folder that is not there, or lacks its commit marker',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const trainer = await bench.trainer();
      const half = join(await bench.emptyFolder(), 'step-00000004');
      await mkdir(half);
      await writeFile(join(half, 'weights'), 'half of them');
      for (const resumeFrom of [half, `${half}-nowhere`]) {
        const request = await bench.training({ maxSteps: 1 }, { resumeFrom });
        const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, request));
        demandStatus(refusal, refusals, 'INVALID_ARGUMENT', `it goes on from ${resumeFrom}`);
      }
    },
  },
  {
    name: 'damaged-checkpoint',
    expects: 'checkpoint_damaged for a checkpoint of which a byte has changed since, or of which a file is gone',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const trainer = await bench.trainer();
      const saved = await newestCheckpoint((await bench.whole()).request.outputFolder);
      demand(saved !== undefined, 'a complete checkpoint of its last step', 'none');
      for (const [how, damage] of [
        ['a byte has changed', changeByte],
        ['is gone', (file: string) => rm(file)],
      ] as const) {
        const resumeFrom = join(await bench.emptyFolder(), basename(saved.folder));
        await cp(saved.folder, resumeFrom, { recursive: true });
        const file = await largestFile(resumeFrom);
        await damage(file);
        const request = await bench.training({ maxSteps: saved.step + 4 }, { resumeFrom });
        const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, request));
        const end = refusal ?? (await trainer.events(request.attemptId)).at(-1)?.event;
        demand(codeOf(end) === 'checkpoint_damaged', `checkpoint_damaged where ${basename(file)} ${how}`, end);
      }
    },
  },
  {
    name: 'stale-attempts',
    expects: 'FAILED_PRECONDITION for an attempt that is not above the last of its job, also after a kill',
    needs: ['train'],
    async run(bench) {
      const { request } = await bench.killed();
      const trainer = await bench.trainer();
      for (const attempt of [1, 2]) {
        const stale = { ...request, attemptId: randomUUID(), attempt, resumeFrom: undefined };
        await refusesAsStale(trainer, stale, `attempt ${attempt} of a job whose attempt 2 was started`);
      }
      await trainer.call(trainer.client.startTraining, { ...request, attemptId: randomUUID(), attempt: 3 });
    },
  },
  {
    name: 'stale-process',
    expects: 'an attempt to commit nothing more once a later attempt of its job has started in another process',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const [first, second] = [await bench.trainer(), await bench.second()];
      const stale = await bench.startEndless(first);
      const later = { ...stale, attemptId: randomUUID(), attempt: 2 };
      await second.call(second.client.startTraining, later);
      await second.events(later.attemptId, 0, ({ event }) => event?.$case === 'stepLogged');
      // Ends what the second does, so that all that comes from here on is the first one's.
      await second.call(second.client.cancel, { attemptId: later.attemptId, checkpointFirst: true });
      const before = await checkpointNames(stale);
      const { attemptId } = stale;
      const answer = await first.call(first.client.checkpoint, { attemptId }).catch(() => undefined);
      demand(answer === undefined, 'no checkpoint of the stale attempt', answer);
      await first.call(first.client.cancel, { attemptId, checkpointFirst: true });
      const after = await checkpointNames(stale);
      demand(String(after) === String(before), `the checkpoints of the later attempt: ${before}`, after);
      await refusesAsStale(second, { ...stale, attemptId: randomUUID() }, 'attempt 1, in the second process');
      await refusesAsStale(first, { ...stale, attemptId: randomUUID(), attempt: 2 }, 'a second attempt 2');
    },
  },
];

async function refusesAsStale(trainer: TrainerUnderTest, stale: StartTrainingRequest, what: string): Promise<void> {
  const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, stale));
  demandStatus(refusal, [status.FAILED_PRECONDITION], `FAILED_PRECONDITION for ${what}`, 'it was accepted');
}

/** Of a checkpoint, beside its marker. @throws Deviation where it has none */
async function largestFile(checkpoint: string): Promise<string> {
  const entries = await readdir(checkpoint, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== checkpointMarker);
  const sized = await Promise.all(
    files.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      return { path, size: (await stat(path)).size };
    }),
  );
  const largest = sized.toSorted((one, other) => other.size - one.size)[0];
  demand(largest !== undefined, `a checkpoint that has files beside ${checkpointMarker}`, 'none');
  return largest.path;
}

/** In the middle, as a disk may. */
async function changeByte(file: string): Promise<void> {
  const content = await readFile(file);
  const middle = content.length >> 1;
  content[middle] = content[middle]! ^ 1;
  await writeFile(file, content);
}

/** The stable code of a refusal, or of an attempt that failed. */
function codeOf(end: ServiceError | TrainerEvent['event']): unknown {
  if (end instanceof Error) return end.metadata.get('simmer-error-code')[0];
  return end?.$case === 'trainingFailed' ? end.value.code : undefined;
}

async function checkpointNames({ outputFolder }: StartTrainingRequest): Promise<readonly string[]> {
  const names = await readdir(join(outputFolder, 'checkpoints')).catch((): string[] => []);
  return names.filter((name) => !name.startsWith('.')).toSorted();
}

async function digestOf({ outputFolder }: StartTrainingRequest): Promise<string> {
  const folder = join(outputFolder, 'model');
  const hash = createHash('sha256');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
  for (const name of names.toSorted()) hash.update(await readFile(join(folder, name)));
  return hash.digest('hex');
}
