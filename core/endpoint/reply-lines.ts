import type { FileHandle } from 'node:fs/promises';

const newline = 0x0a;
const chunkSize = 1024 * 1024;

/**
 * The whole lines of a file, each with its line break; one that was not written to its end is none.
 * @param start where a line begins, in bytes
 */
export async function* wholeLines(file: FileHandle, start = 0): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(chunkSize);
  const begun: Buffer[] = [];
  for (let position = start; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunkSize, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const bytes = chunk.subarray(0, bytesRead);
    let from = 0;
    for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
      yield Buffer.concat([...begun.splice(0), bytes.subarray(from, to + 1)]);
      from = to + 1;
    }
    begun.push(Buffer.from(bytes.subarray(from)));
  }
}

/** Undefined for a line that is damaged. */
export function parsedLine<Line>(line: Buffer): Line | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}
