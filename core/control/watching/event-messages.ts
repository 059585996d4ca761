import { type Event, telemetryTypes } from '../../events/catalogue.js';
import { typeOfLine } from '../../events/event-line.js';

const newline = 0x0a;
const space = 0x20;

/** One line of a log, not parsed: who watches gets its bytes as they are. */
export interface EventLine {
  readonly sequence: number;
  readonly type: string;
  /** The event as JSON, without the line's end. */
  readonly json: Buffer;
}

/** The lines of a part of a log that begins and ends with whole lines. @param first sequence of the first one */
export function eventLines(bytes: Buffer, first: number): readonly EventLine[] {
  const lines: EventLine[] = [];
  let start = 0;
  let sequence = first;
  for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
    const json = bytes.subarray(bytes[start] === space ? start + 1 : start, end);
    lines.push({ sequence, type: typeOfLine(json), json });
    sequence += 1;
    start = end + 1;
  }
  return lines;
}

/** What takes the place of telemetry that is left out. */
export interface GapItem {
  readonly gap: { readonly dropped: number; readonly firstSequence: number; readonly lastSequence: number };
}

/** The lines without telemetry, with a gap where some was. */
export function withoutTelemetry(lines: readonly EventLine[]): readonly (EventLine | GapItem)[] {
  const items: (EventLine | GapItem)[] = [];
  for (const line of lines) {
    const last = items.at(-1);
    if (!telemetryTypes.has(line.type as Event['type'])) {
      items.push(line);
    } else if (last !== undefined && 'gap' in last) {
      const { dropped, firstSequence } = last.gap;
      items[items.length - 1] = { gap: { dropped: dropped + 1, firstSequence, lastSequence: line.sequence } };
    } else {
      items.push({ gap: { dropped: 1, firstSequence: line.sequence, lastSequence: line.sequence } });
    }
  }
  return items;
}

/**
 * A `WatchRunResponse` on the wire. Written by hand: events go from the log to the wire without being parsed, built and
 * put together again, and one message serves every watcher that is at the same place.
 */
export function encodeWatchResponse(items: readonly (EventLine | GapItem)[]): Buffer {
  const sizes = items.map(sizesOf);
  const total = sizes.reduce((sum, { inner, item }) => sum + 1 + varintSize(item) + 1 + varintSize(inner) + inner, 0);
  const out = Buffer.allocUnsafe(total);
  let at = 0;
  const varint = (value: number) => {
    let rest = value;
    while (rest >= 0x80) {
      out[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    out[at++] = rest;
  };
  for (const [index, item] of items.entries()) {
    const { inner, item: itemSize } = sizes[index]!;
    out[at++] = 0x0a; // WatchRunResponse.items
    varint(itemSize);
    out[at++] = 'gap' in item ? 0x12 : 0x0a; // WatchItem.gap or .event
    varint(inner);
    if ('gap' in item) {
      for (const [field, value] of [item.gap.dropped, item.gap.firstSequence, item.gap.lastSequence].entries()) {
        out[at++] = (field + 1) << 3;
        varint(value);
      }
    } else {
      out[at++] = 0x08; // Event.sequence
      varint(item.sequence);
      out[at++] = 0x12; // Event.type
      varint(item.type.length);
      at += out.write(item.type, at, 'latin1');
      out[at++] = 0x1a; // Event.json
      varint(item.json.length);
      at += item.json.copy(out, at);
    }
  }
  return out;
}

function sizesOf(item: EventLine | GapItem): { readonly inner: number; readonly item: number } {
  const inner =
    'gap' in item
      ? 3 + varintSize(item.gap.dropped) + varintSize(item.gap.firstSequence) + varintSize(item.gap.lastSequence)
      : 1 +
        varintSize(item.sequence) +
        1 +
        varintSize(item.type.length) +
        item.type.length +
        1 +
        varintSize(item.json.length) +
        item.json.length;
  return { inner, item: 1 + varintSize(inner) + inner };
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}
