import { expect, it } from 'vitest';
import { toProcessId } from './launcher-wire.js';

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
