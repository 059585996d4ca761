import { afterEach, expect, it } from 'vitest';
import { noteCall, simmerCall, withCall } from './simmer-call.js';

afterEach(() => noteCall({}));

it('has no flags where none were given', () => {
  noteCall({});
  expect(withCall('Go on with: simmer resume small-0001')).toBe('Go on with: simmer resume small-0001');
});

it('names the home or the server in commands for runs, as a shell takes them, and in no others', () => {
  noteCall({ home: "it's $& here" });
  expect(withCall('simmer resume a --set budget.usd=8, `simmer runs`, simmer plan, `simmer doctor`, simmers run')).toBe(
    String.raw`simmer --home 'it'\''s $& here' resume a --set budget.usd=8, ` +
      String.raw`${'`'}simmer --home 'it'\''s $& here' runs${'`'}, simmer --home 'it'\''s $& here' plan, ${'`'}simmer doctor${'`'}, simmers run`,
  );
  noteCall({ server: 'unix:/run/s', serverTokenFile: 'token' });
  expect(simmerCall()).toBe('simmer --server unix:/run/s --server-token-file token');
});
