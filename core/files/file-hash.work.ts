import type { DoTask } from '../threads/do-in-threads.js';
import { hashHere } from './file-hash.js';

type Given = Parameters<typeof hashHere>;

/** Hashes files for `hashFile`. */
export function start(options: Given[1]): DoTask<Given[0], Awaited<ReturnType<typeof hashHere>>> {
  return (path) => hashHere(path, options);
}
