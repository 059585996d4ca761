import { open } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatCount } from '../../figures.js';

const lookMilliseconds = 200;
/** Of one file; what comes after is for nobody. */
const linesTold = 1_000;
/** In characters. */
const longestLine = 2_000;

/**
 * Tells the lines of a file that a process writes to, as they come: the first 1,000 of them, each cut to 2,000 characters.
 * @returns ends it, once what is there by then is told
 */
export function tellLines(file: string, tell: (line: string) => void): () => Promise<void> {
  const ending = new AbortController();
  const told = followLines(file, atMost(linesTold, tell), ending.signal);
  // Who ends it hears of it.
  told.catch(() => {});
  return () => {
    ending.abort();
    return told;
  };
}

/** @param tell whether more of them are wanted */
async function followLines(file: string, tell: (line: string) => boolean, signal: AbortSignal): Promise<void> {
  await using handle = await open(file, 'r');
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(64 * 1024);
  let rest = '';
  for (let isOver = false; !isOver; ) {
    isOver = signal.aborted;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      const lines = (rest + decoder.write(buffer.subarray(0, bytesRead))).split('\n');
      rest = lines.pop()!.slice(-longestLine);
      for (const line of lines) if (!tell(line)) return;
    }
    if (!isOver) await sleep(lookMilliseconds, undefined, { signal, ref: false }).catch(() => {});
  }
  tell(rest);
}

/** Of a line that was written over, as progress is shown, what stood there last. */
function atMost(count: number, tell: (line: string) => void): (line: string) => boolean {
  let told = 0;
  return (line) => {
    const shown = line.trimEnd().split('\r').at(-1)!.slice(0, longestLine);
    if (shown === '') return true;
    told += 1;
    tell(told > count ? `It wrote more than ${formatCount(count)} lines; the others are not shown.` : shown);
    return told <= count;
  };
}
