import { setTimeout as wait } from 'node:timers/promises';
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { WatchMode, WatchRunRequest } from '../../core/generated/simmer/control/v1/control.js';
import { type Random, random } from '../../core/random.js';
import type { WatchTask } from './watch-task.js';

/** What the clients of one process found, together. */
export interface ClientReport {
  lost: number;
  duplicated: number;
  reordered: number;
  received: number;
  inGaps: number;
  disconnects: number;
  stalls: number;
  /** What ended streams, and how often. */
  readonly errors: Record<string, number>;
  /** Milliseconds from the time of an event to its arrival, of the last event of messages. */
  readonly delays: number[];
}

/** A part of a message: an event, or a gap. */
interface Part {
  readonly first: number;
  readonly last: number;
  readonly isGap: boolean;
}

/** A process of its own: many clients, each with a connection of its own, each as unreliable as chance has it. */
const task = JSON.parse(process.argv[2] ?? '') as WatchTask;
const report: ClientReport = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  received: 0,
  inGaps: 0,
  disconnects: 0,
  stalls: 0,
  errors: {},
  delays: [],
};
await Promise.all(Array.from({ length: task.clients }, (_, index) => watch(index)));
// Millions of bytes: the channel is closed when they are through.
process.send?.(report, () => process.disconnect());

async function watch(index: number): Promise<void> {
  const isLive = index % 2 === 1;
  const mode = isLive ? WatchMode.WATCH_MODE_LIVE : WatchMode.WATCH_MODE_COMPLETE;
  const chance = random(index, `client of ${task.seed}`);
  let next = 1;
  while (next <= task.events) {
    const client = new Client(task.address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 * 2 ** 20,
      'grpc.use_local_subchannel_pool': 1,
    });
    const call = client.makeServerStreamRequest(
      '/simmer.control.v1.ControlService/WatchRun',
      (request: WatchRunRequest) => Buffer.from(WatchRunRequest.encode(request).finish()),
      (bytes: Buffer) => bytes,
      { runId: task.runId, fromSequence: BigInt(next), mode },
      new Metadata(),
    );
    next = await follow(call, next, isLive, chance);
    client.close();
    if (next <= task.events) await wait(20 + chance.next() * 200);
  }
}

/** Reads until the stream ends, breaks, or chance ends it. @returns the sequence to go on with */
async function follow(
  call: ClientReadableStream<Buffer>,
  from: number,
  isLive: boolean,
  chance: Random,
): Promise<number> {
  let next = from;
  try {
    for await (const bytes of call as AsyncIterable<Buffer>) {
      for (const { first, last, isGap } of partsOf(bytes)) {
        if (first > next) report.lost += first - next;
        else if (last < next) report.duplicated += last - first + 1;
        else if (first < next) report.reordered += 1;
        if (isGap && !isLive) report.lost += last - first + 1;
        if (isGap) report.inGaps += last - first + 1;
        else report.received += 1;
        next = Math.max(next, last + 1);
      }
      const time = lastTime(bytes);
      if (time !== undefined) report.delays.push(Date.now() - time);
      const luck = chance.next();
      if (luck < 0.001) {
        report.disconnects += 1;
        return next;
      }
      if (luck < 0.004) {
        report.stalls += 1;
        await wait(chance.next() * 1000);
      }
    }
    if (next <= task.events) report.lost += task.events - next + 1;
    return task.events + 1;
  } catch (error) {
    // The server was killed, or is being started; anything else would be seen in the result.
    const { details } = error as ServiceError;
    const reason = /connect|drop|reset|closed|socket/i.test(details) ? 'connection lost' : details;
    report.errors[reason] = (report.errors[reason] ?? 0) + 1;
    return next;
  } finally {
    call.on('error', () => undefined);
    call.cancel();
  }
}

/** Reads of a `WatchRunResponse` what is counted here, and leaves the JSON alone: a hundred clients share two cores. */
function* partsOf(bytes: Buffer): Iterable<Part> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    at += 1;
    varint();
    const isGap = bytes[at++] === 0x12;
    const length = varint();
    const end = at + length;
    const numbers: number[] = [];
    while (at < end && (bytes[at]! & 7) === 0) {
      at += 1;
      numbers.push(varint());
    }
    yield isGap ? { first: numbers[1]!, last: numbers[2]!, isGap } : { first: numbers[0]!, last: numbers[0]!, isGap };
    at = end;
  }
}

function lastTime(bytes: Buffer): number | undefined {
  const start = bytes.lastIndexOf('"time":"');
  return start === -1 ? undefined : Date.parse(bytes.toString('latin1', start + 8, start + 32));
}
