import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { ServedHome } from './served-home.js';

const lookMilliseconds = 1_000;

/** Serves grpc.health.v1: a server whose home is gone, or does not answer, refuses all calls and is not serving. */
export function serveHealth(grpc: Server, service: string, home: ServedHome, stopping: AbortSignal): void {
  const health = new HealthImplementation({ [service]: 'SERVING', '': 'SERVING' });
  health.addToServer(grpc);
  let isLooking = false;
  const tell = (isServing: boolean) => {
    for (const name of [service, '']) health.setStatus(name, isServing ? 'SERVING' : 'NOT_SERVING');
  };
  const look = async () => {
    if (isLooking) return tell(false);
    isLooking = true;
    tell(await home.isThere());
    isLooking = false;
  };
  const timer = setInterval(() => void look(), lookMilliseconds).unref();
  stopping.addEventListener('abort', () => clearInterval(timer), { once: true });
}
