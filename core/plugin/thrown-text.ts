import { basename, dirname, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where Simmer's own code is: frames there are of no use to authors. */
const ownFolder = dirname(dirname(import.meta.dirname)) + sep;

/** What a plugin threw, and where in its own code: "TypeError: x is not a function (plugin.js:12:7)". */
export function thrownText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const text = withCause(thrown.name === 'Error' ? thrown.message : String(thrown), thrown);
  const frames = (thrown.stack ?? '').matchAll(/^ {4}at (?:.*[( ])?((?:file:\/\/)?\/[^()]+):(\d+:\d+)\)?$/gm);
  for (const [, address = '', place = ''] of frames) {
    const file = address.startsWith('file:') ? fileURLToPath(address) : address;
    if (!file.startsWith(ownFolder)) return `${text} (${basename(file)}:${place})`;
  }
  return text;
}

/**
 * A text about an error, and what it was caused by, unless it says that itself: of a connection that was refused, `fetch`
 * says "fetch failed" alone.
 */
export function withCause(text: string, { cause }: Error): string {
  // Of a host with several addresses, the cause is one error for each, without a message of its own.
  const first = cause instanceof AggregateError && cause.message === '' ? cause.errors[0] : cause;
  if (!(first instanceof Error) || first.message === '' || text.includes(first.message)) return text;
  return `${text}: ${first.message}`;
}
