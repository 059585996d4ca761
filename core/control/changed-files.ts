import { unwatchFile, watchFile } from 'node:fs';

/** Whoever replaces several files is done within it, mostly; otherwise it is looked again. */
const lookMilliseconds = 2000;

/**
 * Until disposed of, acts when one of the files was written, replaced, or its mode changed; links are followed.
 * @param act never called twice at a time; it rejects never
 */
export function onFilesChanged(files: readonly string[], act: () => Promise<void>): Disposable {
  let acting = Promise.resolve();
  const changed = () => {
    acting = acting.then(act);
  };
  for (const file of files) watchFile(file, { interval: lookMilliseconds, persistent: false }, changed);
  return {
    [Symbol.dispose]() {
      for (const file of files) unwatchFile(file, changed);
    },
  };
}
