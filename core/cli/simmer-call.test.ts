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
  ['a project', '/mine/node_modules/.bin/simmer', {}],
  [
    'a script of a project',
    '/mine/node_modules/.bin/simmer',
    { npm_lifecycle_event: 'start', npm_package_name: 'mine' },
  ],
  ['the checkout', '/clone/dist/core/cli/main.js', { npm_lifecycle_event: 'start', npm_package_name: 'simmerkit' }],
])('is called by npx where npm started it in %s: a shell finds no `simmer` then', (_, path, env) => {
  noteCall({ home: 'there' }, { path, env });
  expect(simmerCall()).toBe('npx simmer --home there');
  expect(withCall('`simmer runs`, `simmer doctor`, npx simmer plugins, a simmer')).toBe(
    '`npx simmer --home there runs`, `npx simmer doctor`, npx simmer plugins, a simmer',
  );
});

it.each([
  ['for all', '/usr/bin/simmer', {}],
  ['for all, in a script of a project', '/usr/bin/simmer', { npm_lifecycle_event: 'start', npm_package_name: 'mine' }],
  ['for all, by a tool that npx started', '/usr/bin/simmer', { npm_lifecycle_event: 'npx' }],
  ['as a folder that npm never made', '/node_modules/.bin/simmer/main.js', {}],
])('is called by its name where it is installed %s', (_, path, env) => {
  noteCall({}, { path, env });
  expect(simmerCall()).toBe('simmer');
});
