import type { Event } from './catalogue.js';

/**
 * Written before a line that went to disk in the same write as the line before it. White space before a JSON value means
 * nothing to `jq` and the like, but tells how far a single write reached: see `LogScanner`.
 */
export const sameWriteMark = ' ';

/**
 * The event as one line without its line end.
 * @param data its data as JSON, where the caller has made it already
 * @throws TypeError where its data is not JSON (a bigint, a cycle)
 */
export function formatEventLine(event: Event, data = JSON.stringify(event.data)): string {
  const envelope = JSON.stringify({
    runId: event.runId,
    sequence: event.sequence,
    time: event.time,
    type: event.type,
    stage: event.stage,
    attempt: event.attempt,
  });
  return `${envelope.slice(0, -1)},"data":${data}}`;
}

/** The event of a line, or why it is none. Types that this version does not know are passed on. */
export function parseEventLine(line: string): Event | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'is not JSON';
  }
  if (!isRecord(value)) return 'is not an object';
  const { runId, sequence, time, type, stage, attempt, data } = value;
  if (typeof runId !== 'string' || runId === '') return 'has no runId';
  if (!isOrdinal(sequence)) return 'has no sequence';
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) return 'has no time';
  if (typeof type !== 'string' || !/^[a-z]+\.[a-z]+$/i.test(type)) return 'has no type of the form "noun.verb"';
  if (stage !== undefined && typeof stage !== 'string') return 'has a stage that is not text';
  if (attempt !== undefined && !isOrdinal(attempt)) return 'has an attempt that is not an ordinal';
  if (!isRecord(data)) return 'has no data';
  return value as unknown as Event;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOrdinal(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
