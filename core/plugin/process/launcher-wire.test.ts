import { expect, it } from 'vitest';
import { Transport } from '../../generated/simmer/plugin/v1/launcher.js';
import { toLaunchSettings, toProcessId } from './launcher-wire.js';

it('takes the id of a process that may be ended', () => {
  expect(toProcessId({ processId: 4321 })).toBe(4321);
});

it.each([
  [0, /launched a trainer without the id of a process/],
  [1, /gave 1 as the id of the process that it launched, which is that of the system's first process/],
  [process.pid, /which is Simmer's own/],
])('refuses the process id %i', (processId, message) => {
  expect(() => toProcessId({ processId })).toThrow(
    expect.objectContaining({ code: 'plugin_broke_contract', message: expect.stringMatching(message) }),
  );
});

it('takes how a launcher starts trainers, and refuses what no launcher can do', () => {
  const tcp = { transport: Transport.TRANSPORT_TCP, startSeconds: undefined, processes: undefined };
  expect(toLaunchSettings(tcp)).toEqual({ transport: 'tcp' });
  expect(toLaunchSettings({ ...tcp, startSeconds: 9, processes: 4 })).toEqual({
    transport: 'tcp',
    startSeconds: 9,
    processes: 4,
  });
  expect(() => toLaunchSettings({ ...tcp, processes: 0 })).toThrow('no process at all');
  expect(() => toLaunchSettings({ ...tcp, startSeconds: 0 })).toThrow('0 seconds to start');
});
