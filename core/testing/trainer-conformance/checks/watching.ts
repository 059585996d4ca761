import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { TrainerEvent } from '../../../generated/simmer/trainer/v1/trainer.js';
import { Deviation, demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import { stepsOf } from '../training-events.js';
import { upTo } from './training.js';

/** How long an attempt is left to itself, without any watcher. */
const unwatchedMilliseconds = 1500;

/** How many events a watcher leaves unread. */
const unreadEvents = 50;

/** Events as text, to be compared. */
export function textOf(events: readonly TrainerEvent[]): readonly string[] {
  return events.map((event) => JSON.stringify(TrainerEvent.toJSON(event)));
}

function sameEvents(found: readonly TrainerEvent[], expected: readonly TrainerEvent[], what: string): void {
  const [left, right] = [textOf(found), textOf(expected)];
  const index = right.findIndex((text, position) => left[position] !== text);
  if (index === -1 && left.length === right.length) return;
  const at = index === -1 ? right.length : index;
  throw new Deviation(`${what}: ${right[at] ?? 'nothing more'}`, left[at] ?? 'nothing');
}

/** Watching, from any number on. */
export const watchingChecks: readonly TrainerCheck[] = [
  {
    name: 'reattach',
    expects: 'Watch from every event number to give exactly the events above it, also while the attempt runs',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { request, events } = await bench.whole();
      for (let after = 0; after <= events.length; after++) {
        const found = await trainer.events(request.attemptId, after);
        sameEvents(found, events.slice(after), `after event ${after}`);
      }
      // Streams that break again and again while it goes on: no gap, and nothing twice.
      const live = await bench.training({ maxSteps: 30 });
      await trainer.call(trainer.client.startTraining, live);
      const pieces: TrainerEvent[] = [];
      const hasEnded = () => stepsOf(pieces).at(-1)?.step === 30;
      while (!hasEnded()) {
        const last = Number(pieces.at(-1)?.number ?? 0);
        const piece = await trainer.events(live.attemptId, last, ({ number }) => Number(number) >= last + 5);
        demand(piece.length > 0, `events after ${last}`, 'the end of the stream');
        pieces.push(...piece);
      }
      const numbers = pieces.map(({ number }) => Number(number));
      demand(String(numbers) === String(upTo(pieces.length)), 'the numbers without gap or repetition', numbers);
      sameEvents(
        await trainer.events(live.attemptId),
        [...pieces, ...(await trainer.events(live.attemptId, pieces.length))],
        'all',
      );
    },
  },
  {
    name: 'acknowledge',
    expects: 'events that were not acknowledged to be kept, and OUT_OF_RANGE for those that are gone',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const request = await bench.training({ maxSteps: 8 });
      await trainer.call(trainer.client.startTraining, request);
      const events = await trainer.events(request.attemptId);
      const { attemptId } = request;
      const acknowledgement = { duration: undefined, attemptId, acknowledgedEventNumber: 5n };
      await trainer.call(trainer.client.renewLease, acknowledgement);
      sameEvents(await trainer.events(attemptId, 5), events.slice(5), 'after event 5, the last acknowledged');
      try {
        // It may keep more than it must.
        sameEvents(await trainer.events(attemptId, 0), events, 'all events, or OUT_OF_RANGE');
      } catch (error) {
        if (error instanceof Deviation) throw error;
        const { code, details } = error as { code: status; details: string };
        demand(code === status.OUT_OF_RANGE, 'OUT_OF_RANGE where events are gone', `${status[code]}: ${details}`);
      }
    },
  },
  {
    name: 'unknown-attempt',
    expects: 'NOT_FOUND from Watch and Cancel (and Checkpoint) for an attempt that it does not know',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const attemptId = 'never-heard-of';
      const calls: Record<string, () => Promise<unknown>> = {
        Watch: () => trainer.events(attemptId),
        Cancel: () => trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false }),
      };
      if ((await bench.capabilities()).has('checkpoint')) {
        calls.Checkpoint = () => trainer.call(trainer.client.checkpoint, { attemptId });
      }
      for (const [name, call] of Object.entries(calls)) {
        const refusal = await trainer.refusal(call());
        demandStatus(refusal, [status.NOT_FOUND], `NOT_FOUND from ${name}`);
      }
    },
  },
  {
    name: 'outlives-stream',
    expects: 'an attempt to go on when its only watcher, and its connection, are gone',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { attemptId } = await bench.startEndless(trainer);
      const client = trainer.anotherClient();
      let last = 0;
      const call = client.watch({ attemptId, afterEventNumber: 0n }, trainer.metadata);
      for await (const { events } of trainer.messages(call)) {
        last = Number(events.at(-1)?.number ?? 0);
        break;
      }
      client.close();
      await wait(unwatchedMilliseconds);
      const { runningAttemptId } = await trainer.call(trainer.client.describe, {});
      demand(runningAttemptId === attemptId, 'the attempt to be running still', runningAttemptId ?? 'none is');
      const [next] = await trainer.events(attemptId, last, () => true);
      demand(next?.number === BigInt(last + 1), `event ${last + 1}`, next);
      await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
    },
  },
  {
    name: 'slow-watcher',
    expects:
      'a watcher that does not read to hold up neither the training nor other watchers, and to get all in the end',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { attemptId } = await bench.startEndless(trainer);
      const client = trainer.anotherClient();
      const patience = bench.options.patienceSeconds * 1000;
      try {
        const unread = client.watch({ attemptId, afterEventNumber: 0n }, trainer.metadata);
        unread.on('error', () => {});
        await once(unread, 'metadata', { signal: AbortSignal.timeout(patience) });
        // Others see it go on meanwhile.
        await trainer.events(attemptId, 0, ({ number }) => Number(number) > unreadEvents);
        await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
        const events = await trainer.events(attemptId);
        const late: TrainerEvent[] = [];
        for await (const message of trainer.messages(unread)) late.push(...message.events);
        sameEvents(late, events, 'what the slow one reads');
      } finally {
        client.close();
      }
    },
  },
];
