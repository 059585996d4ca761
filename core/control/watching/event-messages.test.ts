import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatEventLine } from '../../events/run-log.fixture.js';
import { WatchRunResponse } from '../../generated/simmer/control/v1/control.js';
import { encodeWatchResponse, eventLines, withoutTelemetry } from './event-messages.js';

const types = ['stage.progressed', 'log.written', 'metric.measured', 'stage.completed'] as const;
const event = fc.record({ type: fc.constantFrom(...types), text: fc.string({ unit: 'binary' }) });

it('events on the wire are the lines of the log, whatever is in them', () => {
  const batches = fc.array(event, { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(batches, fc.integer({ min: 1, max: 2 ** 40 }), fc.boolean(), (events, first, isMarked) => {
      const lines = events.map(({ type, text }, index) =>
        formatEventLine({
          runId: 'a',
          sequence: first + index,
          time: '2026-01-01T00:00:00.000Z',
          type,
          data: { message: text, type: 'step.logged' },
        } as never),
      );
      const bytes = Buffer.from(lines.map((line, index) => `${isMarked && index > 0 ? ' ' : ''}${line}\n`).join(''));
      const { items } = WatchRunResponse.decode(encodeWatchResponse(eventLines(bytes, first)));
      expect(items.map(({ item }) => item?.value)).toEqual(
        lines.map((json, index) => ({ sequence: BigInt(first + index), type: events[index]!.type, json })),
      );
      const thinned = WatchRunResponse.decode(encodeWatchResponse(withoutTelemetry(eventLines(bytes, first))));
      let next = BigInt(first);
      for (const { item } of thinned.items) {
        if (item?.$case === 'event') {
          expect(item.value.sequence).toBe(next++);
        } else {
          const { dropped, firstSequence, lastSequence } = item!.value;
          expect([firstSequence, lastSequence - firstSequence + 1n]).toEqual([next, dropped]);
          next += dropped;
        }
      }
      expect(next).toBe(BigInt(first + events.length));
    }),
  );
});
