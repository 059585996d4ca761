import { readFile } from 'node:fs/promises';
import type { Event } from './catalogue.js';
import { lineFormat } from './event-line.js';
import { nodeLogFileSystem } from './log-file-system.js';
import { type LogEntry, type LogFile, type LogFileSystem, RunLog } from './run-log.js';

export function fact(sequence: number): Event {
  const data = { name: 'loss', value: sequence };
  return { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type: 'metric.measured', data };
}

export function telemetry(sequence: number): Event {
  const data = { done: sequence, total: null, unit: 'rows' };
  return { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type: 'stage.progressed', data };
}

/** The event as one line without its line end. */
export function formatEventLine(event: Event): string {
  return lineFormat(event)(event.sequence, JSON.stringify(event.data));
}

/** For `RunLog.append`. */
export function entries(...events: readonly Event[]): readonly LogEntry[] {
  return events.map((event) => ({ event, line: formatEventLine(event) }));
}

/** What a log holds. */
export async function eventsIn(file: string): Promise<readonly Event[]> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  if (lines.pop() !== '') throw new Error('The last line has no end.');
  return lines.map((line) => JSON.parse(line));
}

/** Writes facts 1 to count, each in a write of its own. */
export async function writeFacts(file: string, count: number): Promise<void> {
  const { log, lastSequence } = await RunLog.open(file);
  for (let sequence = lastSequence + 1; sequence <= count; sequence += 1) await log.append(entries(fact(sequence)));
  await log.close();
}

/** A file system that does as the hooks say; what they leave out, it does for real. */
export function faulty(hooks: Partial<LogFile> & { readonly calls?: string[] }): LogFileSystem {
  return {
    syncFolder: (path) => nodeLogFileSystem.syncFolder(path),
    async open(path) {
      const real = await nodeLogFileSystem.open(path);
      return {
        read: (buffer, position) => real.read(buffer, position),
        write: (bytes, position) => {
          hooks.calls?.push(`write ${bytes.toString().split('\n').length - 1}`);
          return (hooks.write ?? real.write.bind(real))(bytes, position);
        },
        truncate: (length) => (hooks.truncate ?? real.truncate.bind(real))(length),
        sync: () => {
          hooks.calls?.push('sync');
          return (hooks.sync ?? real.sync.bind(real))();
        },
        close: () => real.close(),
      };
    },
  };
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}
