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

it.each([
  ['npx', 'simmer'],
  ['start', 'node dist/core/cli/main.js run'],
])('is called by npx where npm started it, by %s: a shell finds no `simmer` then', (event, script) => {
  noteCall(
    { home: 'there' },
    { npm_lifecycle_event: event, npm_lifecycle_script: script, npm_package_name: 'simmerkit' },
  );
  expect(simmerCall()).toBe('npx simmer --home there');
  expect(withCall('`simmer runs`, `simmer doctor`, npx simmer plugins, a simmer')).toBe(
    '`npx simmer --home there runs`, `npx simmer doctor`, npx simmer plugins, a simmer',
  );
});

it.each([
  ['npx', 'vitest run core/cli/simmer-call.test.ts'],
  ['start', 'vite'],
])('is called by its name where npm started something else, by %s', (event, script) => {
  noteCall({}, { npm_lifecycle_event: event, npm_lifecycle_script: script, npm_package_name: 'mine' });
  expect(simmerCall()).toBe('simmer');
});
