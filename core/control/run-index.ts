import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { eventsFile, runIds } from '../engine/run-folder.js';
import type { EventData } from '../events/catalogue.js';
import { parseEventLine } from '../events/event-line.js';

/** Long enough for the first event of a log, and for the last one of a run that ended. */
const edgeBytes = 64 * 1024;

/** What a server has to know of a run when it starts, from the edges of its log: quick, however long the log is. */
export interface IndexedRun {
  readonly runId: string;
  readonly createdAt: string;
  /** Absent: it was not started by a server. */
  readonly request?: EventData['run.created']['request'];
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
  return {
    runId: first.runId,
    createdAt: first.time,
    ...(request === undefined ? {} : { request }),
    ...(end === undefined ? {} : { end }),
  };
}

async function readEdges(file: string): Promise<{ readonly first: string; readonly last: string } | undefined> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(Math.min(size, edgeBytes));
    await handle.read(buffer, 0, buffer.length, 0);
    const first = buffer.toString('utf8', 0, Math.max(0, buffer.indexOf('\n')));
    await handle.read(buffer, 0, buffer.length, size - buffer.length);
    const lastEnd = buffer.lastIndexOf('\n');
    const lastStart = lastEnd < 1 ? 0 : buffer.lastIndexOf('\n', lastEnd - 1) + 1;
    return { first, last: buffer.toString('utf8', lastStart, Math.max(0, lastEnd)).trimStart() };
  } finally {
    await handle.close();
  }
}
