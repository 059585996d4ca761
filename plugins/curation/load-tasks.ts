import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dataError, fileError } from './data-error.js';
import { type Format, formatOf } from './data-reader.js';
import { countBreaks, type LineRange, newline } from './lines.js';
import type { Source } from './load-options.js';
import { bytesOf, isPacked } from './unpack.js';

/** What one thread reads of a file. */
export interface Piece {
  readonly source: string;
  readonly file: string;
  readonly format: Format;
  /** Absent: all of it. */
  readonly lines?: LineRange;
}

/** Files of a source, with its name. */
export interface SourceFiles {
  readonly name: string;
  readonly source: Source;
  readonly files: readonly string[];
}

/** On the disk: so much is a task, where it can be parted, */
const mostTaskBytes = 2 ** 24;

/** of so many bytes that are left: the last are small, for threads to end together. */
function taskBytes(left: number): number {
  return left > 2 * mostTaskBytes ? mostTaskBytes : mostTaskBytes / 4;
}

interface SizedPieces {
  readonly pieces: readonly Piece[];
  readonly bytes: number;
}

/** What threads read, each task some megabytes; a function of the files alone. @throws UserError `file_missing` */
export async function* loadTasks(sources: readonly SourceFiles[]): AsyncIterable<readonly Piece[]> {
  let left = (await statesOf(sources)).reduce((sum, { bytes }) => sum + bytes, 0);
  let task: Piece[] = [];
  let bytes = 0;
  for (const source of sources) {
    for await (const next of piecesOf(source, () => left)) {
      task.push(...next.pieces);
      bytes += next.bytes;
      if (bytes < taskBytes(left)) continue;
      yield task;
      left -= bytes;
      [task, bytes] = [[], 0];
    }
  }
  if (task.length > 0) yield task;
}

/** What says that a file is still the one that it was. */
interface FileState {
  readonly file: string;
  readonly bytes: number;
  readonly inode: number;
  readonly changedAt: number;
}

/** The files of sources, as they are now. @throws UserError `file_missing` */
export async function statesOf(sources: readonly SourceFiles[]): Promise<readonly FileState[]> {
  const states: FileState[] = [];
  for (const file of sources.flatMap(({ files }) => files)) {
    const { size, ino, mtimeMs } = await statsOf(file);
    states.push({ file, bytes: size, inode: ino, changedAt: mtimeMs });
  }
  return states;
}

/** Several threads open a file, each for itself. @throws UserError `file_changed` */
export async function requireUnchanged(sources: readonly SourceFiles[], before: readonly FileState[]): Promise<void> {
  const now = await statesOf(sources);
  const changed = before.find((state, index) => JSON.stringify(state) !== JSON.stringify(now[index]));
  if (changed === undefined) return;
  const message = 'it changed while it was read.';
  throw dataError('file_changed', { file: changed.file }, message, 'Run it again when nothing writes to the file.');
}

/** Pieces that one thread has to read, one after the other. @param left bytes of all sources that no task has yet */
async function* piecesOf({ name, source, files }: SourceFiles, left: () => number): AsyncIterable<SizedPieces> {
  const whole = files.map((file) => ({
    source: name,
    file,
    format: source.format === 'auto' ? formatOf(file) : source.format,
  }));
  // Which rows are the first ones, a single reader knows.
  if (source.limit !== undefined) return yield { pieces: whole, bytes: mostTaskBytes };
  for (const piece of whole) {
    const { size: bytes } = await statsOf(piece.file);
    if (piece.format !== 'jsonl' || isPacked(piece.file) || bytes < 2 * mostTaskBytes) yield { pieces: [piece], bytes };
    else {
      for await (const lines of lineRanges(piece.file, left))
        yield { pieces: [{ ...piece, lines }], bytes: lines.to - lines.from };
    }
  }
}

function statsOf(file: string): Promise<Stats> {
  return stat(file).catch((error: NodeJS.ErrnoException) => {
    throw fileError(file, error);
  });
}

async function* lineRanges(file: string, left: () => number): AsyncIterable<LineRange> {
  let range = { from: 0, firstLine: 1 };
  let breaks = 0;
  let position = 0;
  for await (const bytes of bytesOf(file)) {
    breaks += countBreaks(bytes);
    const lastBreak = bytes.lastIndexOf(newline);
    const to = position + lastBreak + 1;
    position += bytes.length;
    if (lastBreak < 0 || to - range.from < taskBytes(left())) continue;
    yield { ...range, to };
    range = { from: to, firstLine: 1 + breaks };
  }
  if (position > range.from) yield { ...range, to: position };
}
