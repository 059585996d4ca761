import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { deferred } from '../../deferred.js';
import type { Event } from '../../events/catalogue.js';
import { formatEventLine } from '../../events/run-log.fixture.js';
import { Turns } from '../turns.js';
import { briefMessages } from './brief-log.js';

const refusal = { code: 'too_many', waitFor: 'others wait' };
let file: string;
let turns: Turns;

/** A training of some megabytes, with a fact in each. */
beforeEach(async () => {
  file = join(await temporaryFolder(), 'events.jsonl');
  turns = new Turns({ atATime: 1, mostWaiting: 1, refusal });
  const runId = 'long-20260101-000000-abcd';
  const created = { format: 1, simmerVersion: '0.1.0', recipe: 'long', planDigest: '', seed: 0 };
  const lines = Array.from({ length: 20_000 }, (_, index) => {
    const isFact = index % 5000 === 4999;
    const data = index === 0 ? created : { step: index, loss: 1 };
    const type = index === 0 ? 'run.created' : isFact ? 'checkpoint.saved' : 'step.logged';
    const stage = index === 0 ? {} : { stage: 'tuned', attempt: 1 };
    return { runId, sequence: index + 1, time: '2026-01-01T00:00:00.000Z', type, ...stage, data } as Event;
  });
  await writeFile(file, lines.map((event) => `${formatEventLine(event)}\n`).join(''));
});

function reading(signal: AbortSignal) {
  return briefMessages(file, 1, { turns, signal })[Symbol.asyncIterator]();
}

it('a long log is read in brief part by part, each when its turn has come', async () => {
  const messages = reading(new AbortController().signal);
  expect((await messages.next()).done).toBe(false);
  const work = deferred<void>();
  const other = turns.take(() => work.promise);
  let isRead = false;
  const next = messages.next().then((message) => {
    isRead = true;
    return message;
  });
  await turns.take(async () => {}).catch((error: unknown) => expect(error).toMatchObject({ code: 'too_many' }));
  expect(isRead).toBe(false);
  work.resolve();
  await other;
  expect((await next).done).toBe(false);
  await messages.return?.();
});

it('a log that nobody wants any more is read no further', async () => {
  const gone = new AbortController();
  const messages = reading(gone.signal);
  expect((await messages.next()).done).toBe(false);
  gone.abort();
  expect((await messages.next()).done).toBe(true);
});
