import { setImmediate as others } from 'node:timers/promises';
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { ServedHome } from './served-home.js';

const lookMilliseconds = 1_000;

/** Serves grpc.health.v1: a server whose home is gone, or does not answer, refuses all calls and is not serving. */
export function serveHealth(grpc: Server, service: string, home: ServedHome, stopping: AbortSignal): void {
  const health = new HealthImplementation({ [service]: 'SERVING', '': 'SERVING' });
  health.addToServer(grpc);
  let isLooking = false;
  let wasServing = true;
  const tell = (isServing: boolean) => {
    // Who watches is sent each status that is set.
    if (isServing === wasServing) return;
    wasServing = isServing;
    for (const name of [service, '']) health.setStatus(name, isServing ? 'SERVING' : 'NOT_SERVING');
  };
  const look = async () => {
    // What was answered while this process was busy is seen first.
    if (isLooking) await others();
    if (isLooking) return tell(false);
    isLooking = true;
    tell(await home.isThere());
    isLooking = false;
  };
  const timer = setInterval(() => void look(), lookMilliseconds).unref();
  stopping.addEventListener('abort', () => clearInterval(timer), { once: true });
}
