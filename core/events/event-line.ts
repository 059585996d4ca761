import { isMapValue } from '../document/describe-value.js';
import { type Event, telemetryTypes } from './catalogue.js';

/**
 * Written before a line that went to disk in the same write as the line before it. White space before a JSON value means
 * nothing to `jq` and the like, but tells how far a single write reached: see `LogScanner`.
 */
export const sameWriteMark = ' ';

/** What an event says of itself besides its sequence and its data. */
type EventEnvelope = Pick<Event, 'runId' | 'time' | 'type' | 'stage' | 'attempt'>;

/** Makes the lines of events that differ in nothing but sequence and data. @returns takes the data as JSON */
export function lineFormat(envelope: EventEnvelope): (sequence: number, data: string) => string {
  const { runId, time, type, stage, attempt } = envelope;
  const before = `{"runId":${JSON.stringify(runId)},"sequence":`;
  const after = `,${JSON.stringify({ time, type, stage, attempt }).slice(1, -1)},"data":`;
  return (sequence, data) => `${before}${sequence}${after}${data}}`;
}

/** The event of a line, or why it is none. Types that this version does not know are passed on. */
export function parseEventLine(line: string): Event | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'is not JSON';
  }
  if (!isMapValue(value)) return 'is not an object';
  const { runId, sequence, time, type, stage, attempt, data } = value;
  if (typeof runId !== 'string' || runId === '') return 'has no runId';
  if (!isOrdinal(sequence)) return 'has no sequence';
  if (typeof time !== 'string' || Number.isNaN(Date.parse(time))) return 'has no time';
  if (typeof type !== 'string' || !/^[a-z]+\.[a-z]+$/i.test(type)) return 'has no type of the form "noun.verb"';
  if (stage !== undefined && typeof stage !== 'string') return 'has a stage that is not text';
  if (attempt !== undefined && !isOrdinal(attempt)) return 'has an attempt that is not an ordinal';
  if (!isMapValue(data)) return 'has no data';
  return value as unknown as Event;
}

const typeKey = Buffer.from('"type":"');
const dataKey = Buffer.from(',"data":');
const quote = 0x22;
const newline = 0x0a;

/** The type of an event's line, not parsed: the log writes runId, sequence and time before it, none of which can hold a quote. */
export function typeOfLine(line: Buffer): string {
  const start = line.indexOf(typeKey) + typeKey.length;
  return line.toString('latin1', start, line.indexOf(quote, start));
}

/** Of the last one of whole lines. */
export function typeOfLast(lines: Buffer): string {
  return typeOfLine(lines.subarray(lines.lastIndexOf(newline, -2) + 1));
}

/** What a line of telemetry tells of: its type, stage and attempt. Undefined of a fact, and of what is no line of the log. */
export function telemetrySubject(line: Buffer): string | undefined {
  if (!telemetryTypes.has(typeOfLine(line) as Event['type'])) return undefined;
  const end = line.indexOf(dataKey);
  return end === -1 ? undefined : line.toString('latin1', line.indexOf(typeKey), end);
}

/** The stage of what `telemetrySubject` gave. */
export function stageOfSubject(subject: string): string | undefined {
  return (JSON.parse(`{${subject}}`) as Pick<Event, 'stage'>).stage;
}

function isOrdinal(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
