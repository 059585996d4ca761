import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import {
  type AttachRequest,
  type AttachResponse,
  type LauncherDescription,
  type LaunchRequest,
  type LaunchResponse,
  type ResolveLaunchRequest,
  type ResolveLaunchResponse,
  type TerminateRequest,
  type TerminateResponse,
  Transport,
} from '../../../core/generated/simmer/plugin/v1/launcher.js';
import type { Answer } from './fixture-planning.js';

/** What goes wrong with the launcher. */
export const launcherMisbehaviors = [
  'resolve-rubbish',
  'launch-crash',
  'launch-hang',
  'launch-nothing',
  'launch-tied',
  'launch-bare',
  'launch-any-launcher',
  'attach-never',
  'terminate-idle',
] as const;

/** Starts a trainer on this machine. */
export const launcherDescription: LauncherDescription = {
  name: 'here',
  description: 'Starts the trainer here.',
  optionsSchema: {
    type: 'object',
    properties: {
      tcp: { type: 'boolean', default: false, description: 'Whether it is reached by TCP.' },
      key: { type: 'string', 'x-simmer-secret': '', description: 'Which secret it reads.' },
    },
  },
  hasResolve: true,
};

const unknownLauncher = { error: { code: status.NOT_FOUND, details: 'There is no such launcher.' } };

export function resolveLaunch(
  { launcher, options }: ResolveLaunchRequest,
  misbehavior: string,
): Answer<ResolveLaunchResponse> {
  if (launcher !== 'here') return unknownLauncher;
  const transport = options?.tcp === true ? Transport.TRANSPORT_TCP : Transport.TRANSPORT_UNIX;
  return { response: { transport, startSeconds: misbehavior === 'resolve-rubbish' ? -1 : 60 } };
}

/** @param say a line in the run's log */
export async function launch(
  { callId, launcher, command, stdoutFile, stderrFile, resources, devices }: LaunchRequest,
  misbehavior: string,
  say: (callId: string, line: string) => Promise<unknown>,
): Promise<Answer<LaunchResponse>> {
  if (launcher !== 'here' && misbehavior !== 'launch-any-launcher') return unknownLauncher;
  if (misbehavior === 'launch-crash') process.exit(16);
  if (misbehavior === 'launch-hang') return 'none';
  if (misbehavior === 'launch-nothing') return { response: { processId: 0 } };
  const { argv = [], env = {}, cwd } = command ?? {};
  // One that forwards a port looks at it.
  if (env.SIMMER_TRAINER_ADDRESS === undefined) {
    return { error: { code: status.INVALID_ARGUMENT, details: 'There is no SIMMER_TRAINER_ADDRESS.' } };
  }
  await say(callId, `launches with ${resources?.cpus} cores on GPU ${devices.join(' and ')}`);
  const child = spawn(argv[0]!, argv.slice(1), {
    env: { ...process.env, ...(misbehavior === 'launch-bare' ? {} : env) },
    ...(cwd === undefined ? {} : { cwd }),
    detached: misbehavior !== 'launch-tied',
    stdio: ['ignore', openSync(stdoutFile, 'a'), openSync(stderrFile, 'a')],
  });
  child.unref();
  return { response: { processId: child.pid! } };
}

export function attach({ launcher, processId }: AttachRequest, misbehavior: string): Answer<AttachResponse> {
  if (launcher !== 'here') return unknownLauncher;
  return { response: { isRunning: misbehavior !== 'attach-never' && isThere(processId) } };
}

export async function terminate(
  { launcher, processId, gracePeriod }: TerminateRequest,
  misbehavior: string,
): Promise<Answer<TerminateResponse>> {
  if (launcher !== 'here') return unknownLauncher;
  const deadline = Date.now() + Number(gracePeriod?.seconds ?? 0n) * 1000;
  for (let isFirst = true; misbehavior !== 'terminate-idle' && isThere(processId); isFirst = false) {
    if (isFirst) process.kill(processId, 'SIGTERM');
    if (Date.now() > deadline) process.kill(processId, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { response: {} };
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
