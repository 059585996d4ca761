import { Console } from 'node:console';
import picocolors from 'picocolors';
import type { Colors } from 'picocolors/types.js';
import { UserError } from '../errors.js';
import { redactor } from '../events/redaction.js';
import { shortened } from '../shortened-text.js';
import { wrapLine } from '../wrap-text.js';
import { leave } from './leave.js';
import { withCall } from './simmer-call.js';

/** Colours for a stream, or functions that change nothing. NO_COLOR and FORCE_COLOR are read as Node reads them. */
export function colorsFor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): Colors {
  return picocolors.createColors(hasColor(stream, env));
}

/** Whether what is written to the stream is coloured: FORCE_COLOR first, then NO_COLOR, then whether it is a terminal. */
export function hasColor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** How wide a line may be: as the terminal, which breaks words otherwise; endless elsewhere. */
export function columnsOf(stream: NodeJS.WriteStream): number {
  return (stream.isTTY && stream.columns) || Number.POSITIVE_INFINITY;
}

/** Reads or writes nobody takes: the reader of a pipe has gone (EPIPE), or the terminal has (EIO). */
const goneCodes: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED', 'ECONNRESET']);

let whenOutputGone: (error?: Error) => void = endQuietly;

/** Makes `simmer … | head -1` end quietly, instead of with a stack. Call once, before anything is written. */
export function watchOutput(): void {
  tellInEvents(process.stdout);
  tellInEvents(process.stderr);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    whenOutputGone(goneCodes.has(error.code) ? undefined : error);
  });
  // Nobody is left to be told.
  process.stderr.on('error', () => undefined);
}

/**
 * What Simmer and plugins warn of is a line of its own on stderr, without Node's advice on how to look into Node. What Node
 * itself warns of stays as it is. Call once.
 */
export function showWarnings(): void {
  const others = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning: NodeJS.ErrnoException) => {
    const { name, code, message } = warning;
    const label = colorsFor(process.stderr).yellow(code === undefined ? 'warning' : `warning[${code}]`);
    if (name !== 'Warning') for (const tell of others) tell(warning);
    else sayToPeople(`${label}: ${visibleLines(message)}`);
  });
}

/** Of a file, a full disk for example, Node throws at whoever writes: a sink, or a function that nobody waits for. */
function tellInEvents(stream: NodeJS.WriteStream): void {
  const write = stream._write.bind(stream);
  stream._write = (chunk, encoding, done) => {
    try {
      write(chunk, encoding, done);
    } catch (error) {
      done(error as Error);
    }
  };
}

/**
 * What is done when nobody reads stdout any more, or it cannot be written, until disposed of. Default: the command ends,
 * in the first case with success.
 * @param act with the error of one that cannot be written
 */
export function onOutputGone(act: (error?: Error) => void): Disposable {
  whenOutputGone = act;
  return {
    [Symbol.dispose]() {
      whenOutputGone = endQuietly;
    },
  };
}

/** A plugin that prints with `console.log` does so on stderr from here on: stdout is for what was asked for. */
export function keepStdoutForResults(): void {
  globalThis.console = new Console(process.stderr);
}

/** Characters of what one flag changed in a run, in a list of many: of others' runs it may be of any length. */
export const mostOfChange = 200;

/** A text of others' in one line of at most so many UTF-16 units, without what a terminal would obey. */
export function visibleText(text: string, length: number): string {
  return shortened(text.replaceAll(/\p{Cc}/gu, ' '), length);
}

/** A text of others in its own lines, without what a terminal would obey. */
export function visibleLines(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, ' ');
}

function endQuietly(error?: Error): void {
  if (error === undefined) leave(0);
  throw new UserError('output_not_written', `The output cannot be written: ${error.message}.`, {
    kind: 'environment',
    hint: 'See where stdout goes: the disk there may be full.',
    cause: error,
  });
}

/** Text with our colours in it, and whatever others wrote, without what else a terminal would obey. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  return text.replaceAll(/(\u001b\[[\d;]*m)|[^\P{Cc}\n\t]/gu, (_, color?: string) => color ?? ' ');
}

/** Writes text for people and a line end to stdout; resolves when there is room for more. */
export function writeLine(text: string, stream?: NodeJS.WriteStream): Promise<void> {
  return write(printable(text), stream);
}

/** On stderr, without secrets, each line broken between words where a terminal is narrower: stdout is for results. */
export function sayToPeople(text: string): void {
  const lines = printable(redactor()(withCall(text))).split('\n');
  process.stderr.write(`${lines.flatMap((line) => wrapLine(line, columnsOf(process.stderr))).join('\n')}\n`);
}

/** Writes a JSON value to stdout, over several lines on a terminal and on one elsewhere. */
export function writeJson(value: unknown): Promise<void> {
  return writeJsonLine(value, process.stdout.isTTY ? 2 : undefined);
}

/** As `writeJson`, on one line wherever it goes, or indented. */
export function writeJsonLine(value: unknown, indent?: number): Promise<void> {
  return write(printableJson(value, indent));
}

/** JSON leaves some characters as they are that some terminals obey. */
export function printableJson(value: unknown, indent?: number): string {
  const escaped = (character: string) => `\\u00${character.charCodeAt(0).toString(16)}`;
  return JSON.stringify(value, null, indent).replaceAll(/[\u007f-\u009f]/g, escaped);
}

async function write(text: string, stream: NodeJS.WriteStream = process.stdout): Promise<void> {
  if (stream.write(`${text}\n`) || stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      for (const name of ['drain', 'close', 'error']) stream.off(name, done);
      resolve();
    };
    for (const name of ['drain', 'close', 'error']) stream.once(name, done);
  });
}
