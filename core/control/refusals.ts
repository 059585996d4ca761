import { UserError } from '../errors.js';

/** What a call is told that a server has no time for any more: the client may make it again, once there is one. */
export function serverStopping(): UserError {
  return new UserError('server_stopping', 'The server is being stopped.', {
    kind: 'environment',
    hint: 'What runs goes on when it is started again.',
  });
}

export function homeGone(home: string): UserError {
  return new UserError('home_gone', `${home}, the home of this server, is gone, or another folder is in its place.`, {
    kind: 'environment',
    hint: 'Bring it back on the machine of the server, or start the server again: it serves what is there then.',
  });
}

export function runsElsewhere(runId: string): UserError {
  return new UserError('run_locked', `Run ${runId} is run by another process, not by this server.`, {
    kind: 'environment',
    hint: `Only on its machine can it be stopped, by \`cancel ${runId}\` with its home.`,
  });
}

/** Of a run that is to be removed. */
export function runInHand(runId: string): UserError {
  return new UserError('run_locked', `Run ${runId} is in the server's queue, or runs.`, {
    kind: 'environment',
    hint: `Stop it first: simmer cancel ${runId}`,
  });
}

/** What a watcher is told, who waits for the end of a run. */
export function abandoned(runId: string): UserError {
  return new UserError('run_abandoned', `Run ${runId} has no end, and no process writes it any more.`, {
    kind: 'runFailed',
    hint: `It was killed, or its log could not be written. Go on with: simmer resume ${runId}`,
  });
}

/** As `abandoned`. */
export function removedMeanwhile(runId: string): UserError {
  return new UserError('run_not_found', `Run ${runId} has no end, and was removed meanwhile.`);
}
