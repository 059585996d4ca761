import { basename, dirname, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where Simmer's own code is: frames there are of no use to authors. */
const ownFolder = dirname(dirname(import.meta.dirname)) + sep;

/** What a plugin threw, and where in its own code: "TypeError: x is not a function (plugin.js:12:7)". */
export function thrownText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const text = thrown.name === 'Error' ? thrown.message : String(thrown);
  const frames = (thrown.stack ?? '').matchAll(/^ {4}at (?:.*[( ])?((?:file:\/\/)?\/[^()]+):(\d+:\d+)\)?$/gm);
  for (const [, address = '', place = ''] of frames) {
    const file = address.startsWith('file:') ? fileURLToPath(address) : address;
    if (!file.startsWith(ownFolder)) return `${text} (${basename(file)}:${place})`;
  }
  return text;
}
