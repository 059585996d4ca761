import { join } from 'node:path';
import { eventsFile, ofEachRun, runIds } from '../engine/run-folder.js';
import type { EventData } from '../events/catalogue.js';
import { readLogEdges } from '../events/log-edges.js';
import { present } from '../present.js';
import { type KeptResume, readKeptResume } from './kept-resume.js';

/** What a server has to know of a run when it starts, from the edges of its log: quick, however long the log is. */
interface IndexedRun {
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
  const found = await ofEachRun(await runIds(folder), (runId) => indexRun(join(folder, runId)));
  return found.filter((run) => run !== undefined).toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
}

async function indexRun(runFolder: string): Promise<IndexedRun | undefined> {
  const { first, last } = (await readLogEdges(eventsFile(runFolder))) ?? {};
  if (first?.type !== 'run.created') return undefined;
  const end =
    last?.type === 'run.interrupted'
      ? { type: last.type, reason: last.data.reason }
      : last?.type === 'run.completed' || last?.type === 'run.failed'
        ? { type: last.type }
        : undefined;
  const { request } = first.data;
  const resume = await readKeptResume(runFolder);
  return {
    runId: first.runId,
    createdAt: first.time,
    lastSequence: last?.sequence ?? 0,
    ...present({ request, resume, end }),
  };
}
