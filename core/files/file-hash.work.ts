import type { StartTasks } from '../threads/do-in-threads.js';
import { type HashedFile, type HashOptions, hashHere } from './file-hash.js';

/** Hashes files for `hashFile`. */
export const start: StartTasks<HashOptions, string, HashedFile> = (options) => (path) => hashHere(path, options);
