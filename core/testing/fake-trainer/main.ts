import { setTimeout as sleep } from 'node:timers/promises';
import { FakeTrainerServer } from './fake-trainer-server.js';
import { misbehaviorSchema } from './misbehavior.js';

/** The fake trainer as a process: started like any trainer, see simmer/trainer/v1/trainer.proto. */
const { SIMMER_TRAINER_ADDRESS, SIMMER_TRAINER_TOKEN, SIMMER_TRAINER_FOLDER, SIMMER_LEASE_SECONDS } = process.env;
if (SIMMER_TRAINER_ADDRESS === undefined || SIMMER_TRAINER_FOLDER === undefined) {
  process.stderr.write('SIMMER_TRAINER_ADDRESS and SIMMER_TRAINER_FOLDER must be set.\n');
  process.exit(2);
}

const misbehavior = misbehaviorSchema.parse(JSON.parse(process.env.SIMMER_FAKE_TRAINER ?? '{}'));
if (misbehavior.exitCode !== undefined) {
  process.stderr.write(`The fake trainer exits with code ${misbehavior.exitCode}, as it was told.\n`);
  process.exit(misbehavior.exitCode);
}
await sleep(misbehavior.startMilliseconds);

const { server, address } = await FakeTrainerServer.start({
  address: SIMMER_TRAINER_ADDRESS,
  ...(SIMMER_TRAINER_TOKEN === undefined ? {} : { token: SIMMER_TRAINER_TOKEN }),
  folder: SIMMER_TRAINER_FOLDER,
  leaseSeconds: Number(SIMMER_LEASE_SECONDS ?? 60),
  misbehavior,
  onExit: () => process.exit(0),
  onCrash() {
    process.stderr.write('The fake trainer kills itself, as it was told.\n');
    process.kill(process.pid, 'SIGKILL');
  },
});
process.once('SIGTERM', () => void server.stop('SIGTERM'));
if (misbehavior.breaks === 'printsOnStdout') process.stdout.write('This is the fake trainer.\n');
process.stdout.write(`${misbehavior.handshake ?? `SIMMER-TRAINER|1|1|${address}`}\n`);
