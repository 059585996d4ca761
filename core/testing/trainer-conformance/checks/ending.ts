import { status } from '@grpc/grpc-js';
import { newestCheckpoint } from '../../../trainer/checkpoints.js';
import { demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import { caseOf } from './training.js';

/** A cancellation must be heeded within so many seconds; the best of a few tries counts, for machines are busy. */
const cancelSeconds = 1;
const tries = 3;

/** Cancellation. */
export const cancelingChecks: readonly TrainerCheck[] = [
  {
    name: 'cancel',
    expects:
      'Cancel to end an attempt within a second, as training_canceled, without a checkpoint; a second one to be idle',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      let fastest = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < tries && fastest > cancelSeconds; attempt++) {
        const { attemptId, outputFolder } = await bench.startEndless(trainer);
        const asked = performance.now();
        const answer = await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
        fastest = Math.min(fastest, (performance.now() - asked) / 1000);
        demand(answer.wasRunning, 'was_running = true', answer);
        const events = await trainer.events(attemptId);
        demand(events.at(-1)?.event?.$case === 'trainingCanceled', 'training_canceled', events.at(-1));
        const hasSaved = events.some((event) => caseOf(event) === 'checkpointSaved');
        const checkpoint = await newestCheckpoint(outputFolder);
        demand(!hasSaved && checkpoint === undefined, 'no checkpoint', checkpoint ?? 'checkpoint_saved');
        const again = await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
        demand(!again.wasRunning, 'was_running = false the second time', again);
      }
      const saw = `${fastest.toFixed(2)} seconds at best of ${tries}`;
      demand(fastest <= cancelSeconds, `an end within ${cancelSeconds} second`, saw);
    },
  },
  {
    name: 'cancel-checkpoint',
    expects: 'Cancel with checkpoint_first to save a whole checkpoint, tell of it, and name it in training_canceled',
    needs: ['train', 'checkpoint'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { attemptId, outputFolder } = await bench.startEndless(trainer);
      await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: true });
      const events = await trainer.events(attemptId);
      const [saved, canceled] = [events.at(-2)?.event, events.at(-1)?.event];
      demand(canceled?.$case === 'trainingCanceled', 'training_canceled', canceled);
      demand(saved?.$case === 'checkpointSaved', 'checkpoint_saved before it', caseOf(events.at(-2)));
      const found = await newestCheckpoint(outputFolder);
      demand(found?.folder === saved.value.path, `a complete checkpoint in ${saved.value.path}`, found);
      demand(canceled.value.checkpoint === saved.value.path, 'its path in training_canceled', canceled.value);
      const isSame = canceled.value.step === saved.value.step && found.step === saved.value.step;
      demand(isSame, 'the same step everywhere', { canceled: canceled.value, marker: found.step });
    },
  },
];

/** Leases and ends; the last of all, for they end the trainer. */
export const endingChecks: readonly TrainerCheck[] = [
  {
    name: 'lease',
    expects: 'RenewLease to say when the lease ends, and the trainer to exit by itself then, a running attempt saved',
    needs: [],
    async run(bench) {
      const trainer = await bench.second();
      const canTrain = (await bench.capabilities()).has('train');
      const request = canTrain ? await bench.startEndless(trainer) : undefined;
      const long = { duration: { seconds: 600n, nanos: 0 }, attemptId: undefined, acknowledgedEventNumber: 0n };
      const { expiresAt } = await trainer.call(trainer.client.renewLease, long);
      const seconds = ((expiresAt?.getTime() ?? 0) - Date.now()) / 1000;
      demand(Math.abs(seconds - 600) < 30, 'expires_at in 600 seconds', `in ${seconds.toFixed(0)} seconds`);
      const zero = { ...long, duration: { seconds: 0n, nanos: 0 } };
      const refusal = await trainer.refusal(trainer.call(trainer.client.renewLease, zero));
      demandStatus(refusal, [status.INVALID_ARGUMENT], 'INVALID_ARGUMENT for a lease of no time');
      await trainer.call(trainer.client.renewLease, { ...long, duration: { seconds: 1n, nanos: 0 } });
      const exit = await trainer.exitWithin(20);
      demand(exit !== undefined, 'an exit within 20 seconds of a lease of 1 second', 'it went on');
      if (request === undefined || !(await bench.capabilities()).has('checkpoint')) return;
      const checkpoint = await newestCheckpoint(request.outputFolder);
      demand(checkpoint !== undefined, 'a checkpoint of the running attempt', 'none');
    },
  },
  {
    name: 'shutdown',
    expects: 'Shutdown to answer, and the process to exit with code 0 soon after, a running attempt saved',
    needs: [],
    async run(bench) {
      const trainer = await bench.trainer();
      const declared = await bench.capabilities();
      const request = declared.has('train') ? await bench.startEndless(trainer) : undefined;
      await trainer.call(trainer.client.shutdown, { gracePeriod: { seconds: 20n, nanos: 0 } });
      const exit = await trainer.exitWithin(20);
      demand(exit !== undefined, 'an exit within 20 seconds', 'it went on');
      demand(exit.exitCode === 0, 'exit code 0', exit);
      if (request === undefined || !declared.has('checkpoint')) return;
      const checkpoint = await newestCheckpoint(request.outputFolder);
      demand(checkpoint !== undefined, 'a checkpoint of the running attempt', 'none');
    },
  },
  {
    name: 'stdout',
    expects: 'nothing on stdout but the handshake line, in the whole life of each process',
    needs: [],
    async run(bench) {
      for (const trainer of bench.processes) {
        const expected = `SIMMER-TRAINER|1|1|${trainer.address}\n`;
        const stdout = await trainer.stdout();
        demand(stdout === expected, JSON.stringify(expected), JSON.stringify(stdout.slice(0, 300)));
      }
    },
  },
];
