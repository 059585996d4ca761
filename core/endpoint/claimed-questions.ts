import { deferred } from '../deferred.js';
import type { AskedByAnother, QuestionLinks } from './question-links.js';

/** A question that is asked here: nobody else on this machine asks it until it is released. */
export interface Claim {
  /** Its reply is kept by now, or there is none. May be called again. */
  release(): void;
}

interface Open {
  readonly done: Promise<void>;
}

/** What this process asks now, by where its replies are kept and what is asked. */
const claimed = new Map<string, Open>();
/** How often something that was asked there was released, by where its replies are kept. */
const releases = new Map<string, number>();

/**
 * @param place folder of the folders of all who may ask the same
 * @param links by which other processes know of it
 */
export function claimQuestion(place: string, of: string, links: QuestionLinks | undefined): Claim | AskedByAnother {
  const key = `${place}/${of}`;
  const other = claimed.get(key);
  if (other !== undefined) return { wait: (signal) => unlessAborted(other.done, signal) };
  const elsewhere = links?.take(of);
  if (elsewhere !== undefined) return elsewhere;
  const { promise: done, resolve: isDone } = deferred<void>();
  const open = { done };
  claimed.set(key, open);
  return {
    release() {
      if (claimed.get(key) !== open) return;
      claimed.delete(key);
      links?.free(of);
      releases.set(place, releasesIn(place) + 1);
      isDone();
    },
  };
}

/** Where it has grown there may be replies that were not there before. */
export function releasesIn(place: string): number {
  return releases.get(place) ?? 0;
}

function unlessAborted(done: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    void done.then(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    });
  });
}
