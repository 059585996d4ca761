import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { eventsFile, runIds } from '../engine/run-folder.js';
import type { EventData } from '../events/catalogue.js';
import { parseEventLine } from '../events/event-line.js';
import { present } from '../present.js';
import { type KeptResume, readKeptResume } from './kept-resume.js';

/** Long enough for the first event of a log, and for most last ones. */
const edgeBytes = 64 * 1024;

/** What a server has to know of a run when it starts, from the edges of its log: quick, however long the log is. */
export interface IndexedRun {
  readonly runId: string;
  readonly createdAt: string;
  /** Absent: it was not started by a server. */
  readonly request?: EventData['run.created']['request'];
  /** Absent: nobody asked a server to go on with it. */
  readonly resume?: KeptResume;
  /** Sequence of its last event; 0 where that cannot be read. */
  readonly lastSequence: number;
  /** The event that ended it, or undefined where it has no end. */
  readonly end?: { readonly type: string; readonly reason?: string };
}

/** The runs of a home, the oldest first. Folders that hold no log are passed over. */
export async function indexRuns(home: string): Promise<readonly IndexedRun[]> {
  const folder = join(home, 'runs');
  const found = await Promise.all((await runIds(folder)).map((runId) => indexRun(join(folder, runId))));
  return found.filter((run) => run !== undefined).toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
}

async function indexRun(runFolder: string): Promise<IndexedRun | undefined> {
  const edges = await readEdges(eventsFile(runFolder));
  const first = edges === undefined ? undefined : parseEventLine(edges.first);
  if (first === undefined || typeof first === 'string' || first.type !== 'run.created') return undefined;
  const last = parseEventLine(edges!.last);
  const end =
    typeof last === 'string'
      ? undefined
      : last.type === 'run.interrupted'
        ? { type: last.type, reason: last.data.reason }
        : last.type === 'run.completed' || last.type === 'run.failed'
          ? { type: last.type }
          : undefined;
  const { request } = first.data;
  const resume = await readKeptResume(runFolder);
  return {
    runId: first.runId,
    createdAt: first.time,
    lastSequence: typeof last === 'string' ? 0 : last.sequence,
    ...present({ request, resume, end }),
  };
}

async function readEdges(file: string): Promise<{ readonly first: string; readonly last: string } | undefined> {
  await using handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  const { size } = await handle.stat();
  const head = Buffer.alloc(Math.min(size, edgeBytes));
  await handle.read(head, 0, head.length, 0);
  const first = head.toString('utf8', 0, Math.max(0, head.indexOf('\n')));
  return { first, last: await readLastLine(handle, size) };
}

/** The last line that has its end. An event may be of any length: of a failed run, say, with all that a plugin threw. */
async function readLastLine(handle: FileHandle, size: number): Promise<string> {
  for (let bytes = edgeBytes; ; bytes *= 4) {
    const tail = Buffer.alloc(Math.min(size, bytes));
    await handle.read(tail, 0, tail.length, size - tail.length);
    const end = tail.lastIndexOf('\n');
    const start = end < 1 ? -1 : tail.lastIndexOf('\n', end - 1);
    if (start >= 0 || tail.length === size) return tail.toString('utf8', start + 1, Math.max(0, end)).trimStart();
  }
}
