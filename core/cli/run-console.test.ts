import { afterEach, expect, it, vi } from 'vitest';
import type { Event } from '../events/catalogue.js';
import { runConsole } from './run-console.js';
import { noteCall } from './simmer-call.js';

afterEach(() => {
  noteCall({});
  vi.restoreAllMocks();
});

it('shows commands such that they work as they are copied: in warnings, and in what to do at the end', async () => {
  noteCall({ server: 'unix:s' });
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const source = {
    runFolder: async () => '/nowhere',
    openArtifact: () => Promise.reject(new Error('there is none')),
    eventsOf: async function* () {},
  };
  const console = runConsole({ source });
  const tell = (sequence: number, told: Pick<Event, 'type' | 'data'>) =>
    console.onEvent({ runId: 'long-1', sequence, time: '2026-01-01T00:00:00.000Z', ...told } as Event);
  const message = 'Waiting for a reply; `simmer cancel long-1 --now` drops it.';
  await tell(1, { type: 'log.written', data: { level: 'warning', source: 'engine', message } });
  await tell(2, { type: 'run.interrupted', data: { reason: 'simmer cancel' } });
  await console.close?.();
  const shown = write.mock.calls.map(([text]) => String(text)).join('');
  expect(shown).toContain('`simmer --server unix:s cancel long-1 --now` drops it.');
  expect(shown).toContain('simmer --server unix:s resume long-1');
});
