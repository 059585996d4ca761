import { type FileHandle, open } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { formatCount } from '../../figures.js';

const lookMilliseconds = 200;
/** Of one file; what comes after is for nobody. */
const linesTold = 1_000;
/** In characters. */
const longestLine = 2_000;

/** The lines of a file, told as they come. */
export interface ToldLines {
  /** Tells at once what is there by now, but for a line that has no end yet. */
  catchUp(): Promise<void>;
  /** Tells what is there by now, and nothing that comes later. Called once. */
  end(): Promise<void>;
}

/**
 * Tells the lines of a file that a process writes to, as they come: the first 1,000 of them, each cut to 2,000 characters.
 */
export function tellLines(file: string, tell: (line: string) => void): ToldLines {
  const lines = new LineReader(file, atMost(linesTold, tell));
  // One look after the other. Who ends it hears of one that fails.
  let looks = Promise.resolve();
  const look = () => {
    looks = looks.then(() => lines.readOn());
    looks.catch(() => {});
    return looks;
  };
  const looking = setInterval(look, lookMilliseconds).unref();
  return {
    catchUp: look,
    async end() {
      clearInterval(looking);
      try {
        await look();
        lines.tellRest();
      } finally {
        await lines[Symbol.asyncDispose]();
      }
    },
  };
}

class LineReader implements AsyncDisposable {
  readonly #decoder = new StringDecoder('utf8');
  readonly #buffer = Buffer.alloc(64 * 1024);
  #handle: FileHandle | undefined;
  #rest = '';
  #isWanted = true;

  /** @param tell whether more of them are wanted */
  constructor(
    readonly file: string,
    readonly tell: (line: string) => boolean,
  ) {}

  /** Up to the end that the file has now. */
  async readOn(): Promise<void> {
    this.#handle ??= await open(this.file, 'r');
    while (this.#isWanted) {
      const { bytesRead } = await this.#handle.read(this.#buffer, 0, this.#buffer.length, null);
      if (bytesRead === 0) return;
      const lines = (this.#rest + this.#decoder.write(this.#buffer.subarray(0, bytesRead))).split('\n');
      this.#rest = lines.pop()!.slice(-longestLine);
      this.#isWanted = lines.every((line) => this.tell(line));
    }
  }

  /** The last line, where it has no end. */
  tellRest(): void {
    if (this.#isWanted) this.tell(this.#rest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
  }
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
