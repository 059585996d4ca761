import { open } from 'node:fs/promises';
import { unlessMissing } from '../files/unless-missing.js';

/** The last lines of a text file, without their line ends. A file that is not there has none. */
export async function lastLines(file: string, count = 20, maxBytes = 16_384): Promise<readonly string[]> {
  await using handle = await open(file, 'r').catch(unlessMissing);
  if (handle === undefined) return [];
  const { size } = await handle.stat();
  const start = Math.max(0, size - maxBytes);
  const buffer = Buffer.alloc(size - start);
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
  const lines = buffer.toString('utf8', 0, bytesRead).split(/\r?\n/);
  // What was cut off in the middle is no line.
  if (start > 0) lines.shift();
  while (lines.at(-1)?.trim() === '') lines.pop();
  return lines.slice(-count);
}
