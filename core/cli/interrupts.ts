import { cancelSignal, dropSignal } from '../engine/cancel-run.js';
import { exitCodes } from '../errors.js';
import { leave } from './leave.js';

/**
 * Two signals this close together are one: npm passes Ctrl-C on to a process that the terminal has told already, so that
 * `npm start` would otherwise be killed by the first press.
 */
const sameSignalMilliseconds = 400;

const reasons = {
  SIGINT: 'Ctrl-C',
  SIGTERM: 'SIGTERM',
  SIGHUP: 'the terminal was closed',
} as const;

/**
 * Until disposed of: the first SIGINT, SIGTERM or SIGHUP asks to stop, the second ends the process at once.
 *
 * @param stop called once, with the reason in words for people
 */
export function onInterrupt(stop: (reason: string) => void): Disposable {
  let firstAt: number | undefined;
  const listener = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      stop(reasons[signal as keyof typeof reasons]);
    } else if (now - firstAt > sameSignalMilliseconds) {
      leave(exitCodes.interrupted);
    }
  };
  const signals = Object.keys(reasons) as (keyof typeof reasons)[];
  for (const signal of signals) process.on(signal, listener);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}

/**
 * Until disposed of, `simmer cancel` asks to stop. After that it is passed over: it may have been sent just before the run
 * ended, and what is left of the process is not to die of it.
 *
 * @param stop called each time, with the reason in words for people
 * @param dropReplies called by `simmer cancel RUN --now`, after `stop`
 */
export function onCancel(stop: (reason: string) => void, dropReplies: () => void): Disposable {
  const cancel = () => stop('simmer cancel');
  const drop = () => {
    cancel();
    dropReplies();
  };
  process.on(cancelSignal, cancel);
  process.on(dropSignal, drop);
  return {
    [Symbol.dispose]() {
      passOverCancel();
      process.off(cancelSignal, cancel);
      process.off(dropSignal, drop);
    },
  };
}

/** From here on `simmer cancel` does nothing to this process. May be called twice. */
export function passOverCancel(): void {
  if (!process.listeners(cancelSignal).includes(passOver)) process.on(cancelSignal, passOver);
}

function passOver(): void {}
