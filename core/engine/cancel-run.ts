import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isUserError, UserError } from '../errors.js';
import type { RunOwner } from '../process/owner-file.js';
import { isAlive, isSamePlace, isSeenFromHere } from '../process/process-identity.js';
import { readRunOwner } from '../process/run-lock.js';
import { appendEnding } from './append-ending.js';
import { readRunState } from './run-history.js';
import type { RunOfHome } from './run-outcome.js';

/**
 * Asks a process to stop its run as Ctrl-C does. However often it comes, it never ends the process at once: it is sent only
 * where the owner of the run says that it listens.
 */
export const cancelSignal = 'SIGUSR2';

/** Asks it to wait for no reply any longer. A process that does not listen passes it over. */
export const dropSignal = 'SIGURG';

const lookMilliseconds = 100;
/** Another that notes the run's end, as this does, has it for a moment. */
const looks = 10;

/**
 * Has the process that holds a run stop it, and waits until it has: what is paid for is kept, `resume` goes on. A run
 * without an end that nobody holds is noted as interrupted; one that has ended is left as it is.
 *
 * @param home of the run
 * @param dropsReplies whether those under way are not waited for, though they are paid for
 * @throws UserError `run_of_server`; `run_locked` where its process is on another host, cannot be told from others, or
 * does not listen
 */
export async function cancelRun(run: RunOfHome, home: string, dropsReplies = false): Promise<void> {
  for (let look = 1; ; look += 1) {
    try {
      return await cancelOnce(run, home, dropsReplies);
    } catch (error) {
      if (!isUserError(error) || error.code !== 'run_locked' || look === looks) throw error;
      await wait(lookMilliseconds);
    }
  }
}

async function cancelOnce({ runId, runFolder }: RunOfHome, home: string, dropsReplies: boolean): Promise<void> {
  const owner = await readRunOwner(runFolder);
  const server = await readRunOwner(join(home, 'server'));
  const isHeld = owner?.alive === true;
  const isEnded = !isHeld && (await readRunState(runFolder)).endedAt !== undefined;
  if (isEnded) return;
  if (server?.alive === true && (!isHeld || isSame(owner, server))) throw ofServer(runId, server, dropsReplies);
  if (!isHeld) {
    const ending = { type: 'run.interrupted', data: { reason: 'simmer cancel' } } as const;
    await appendEnding(runId, runFolder, ending, { unlessEnded: true });
    return;
  }
  if (owner.cancelSignal !== cancelSignal || !(await isThisProcess(owner))) throw cannotBeReached(runId, owner);
  try {
    process.kill(owner.pid, cancelSignal);
    if (dropsReplies) process.kill(owner.pid, dropSignal);
  } catch (error) {
    // It may have ended just now; of another user's process it is not ours to ask.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw cannotBeReached(runId, owner);
  }
  for (let now = await readRunOwner(runFolder); now?.alive === true && isSame(now, owner); ) {
    await wait(lookMilliseconds);
    now = await readRunOwner(runFolder);
  }
}

function isSame(one: RunOwner, other: RunOwner): boolean {
  return isSamePlace(one, other) && one.pid === other.pid && one.processStartTime === other.processStartTime;
}

/** Whether the pid, on this machine, is that of the process that took the run up, and not of one that came after it. */
async function isThisProcess(owner: RunOwner): Promise<boolean> {
  const { pid, processStartTime } = owner;
  if (processStartTime === undefined || !(await isSeenFromHere(owner))) return false;
  return isAlive({ pid, startTime: processStartTime });
}

function ofServer(runId: string, { pid, host }: RunOwner, dropsReplies: boolean): UserError {
  return new UserError(
    'run_of_server',
    `Run ${runId} is in the hands of the server of this home, process ${pid} on ${host}.`,
    {
      kind: 'environment',
      hint: `Ask the server: simmer --server ADDRESS cancel ${runId}${dropsReplies ? ' --now' : ''}`,
    },
  );
}

function cannotBeReached(runId: string, { pid, host, startedAt }: RunOwner): UserError {
  return new UserError('run_locked', `Run ${runId} is held by process ${pid} on ${host}, since ${startedAt}.`, {
    kind: 'environment',
    hint: 'From here it cannot be told to stop: stop it on its host, as the user who started it.',
  });
}
