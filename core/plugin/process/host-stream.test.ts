import { join } from 'node:path';
import { credentials, Metadata } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import type { Event } from '../../events/catalogue.js';
import { HostServiceClient } from '../../generated/simmer/plugin/v1/host.js';
import { silentLog as log } from '../log.js';
import { HostServer } from './host-server.js';

const count = 2000;

/** The log of a run, which is there at once: whoever sends it waits for the reader again and again. */
async function* longLog(): AsyncIterable<Event> {
  for (let sequence = 1; sequence <= count; sequence++) {
    const data = { level: 'info', message: 'x'.repeat(1000) };
    yield { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type: 'log.written', data } as Event;
  }
}

it('sends a plugin what it reads slowly, whole, and piles up no listeners', async () => {
  using host = await HostServer.start(join(await temporaryFolder(), 'host.sock'));
  using _served = host.serve({ id: 'sink', log, eventsOf: longLog });
  const client = new HostServiceClient(host.address, credentials.createInsecure());
  const warnings: string[] = [];
  const heed = (warning: Error) => void warnings.push(warning.name);
  process.on('warning', heed);
  try {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${host.token}`);
    let read = 0;
    for await (const { json } of client.readEvents({ callId: 'sink', runId: 'r', stageKeys: [] }, metadata)) {
      expect(JSON.parse(json).sequence).toBe(++read);
    }
    expect(read).toBe(count);
    expect(warnings).toEqual([]);
  } finally {
    process.off('warning', heed);
    client.close();
  }
});
