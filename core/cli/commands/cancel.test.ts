import { expect, it } from 'vitest';
import { waitingLine } from './cancel.js';

it('whoever waits for a run to stop is told a command that can be typed', () => {
  expect(waitingLine({ runId: 'small-0001' })).toContain('`simmer cancel small-0001 --now` drops those');
});
