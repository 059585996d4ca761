import { describe, expect, it } from 'vitest';
import type { PluginDescription } from './describe-plugin.js';
import { contributionsNamed, pluginNamed } from './named-contribution.js';

const none = { stages: {}, trainers: {}, launchers: {}, graders: {}, sinks: {} };
const about = { version: '1.0.0', apiVersion: 1, source: 'built-in' };
const described = { description: 'Does something.', options: {} };
const plugins: readonly PluginDescription[] = [
  { ...none, ...about, name: 'curation', stages: { load: described, select: described } },
  { ...none, ...about, name: 'mine', stages: { torch: described }, trainers: { torch: described } },
];

describe('plugin/name', () => {
  it('names one contribution, or one of each of several kinds', () => {
    expect(contributionsNamed('curation/load', plugins)).toEqual([
      { uses: 'curation/load', kind: 'stage', source: 'built-in', version: '1.0.0', ...described },
    ]);
    expect(contributionsNamed('mine/torch', plugins).map(({ kind }) => kind)).toEqual(['stage', 'trainer']);
  });

  it.each([
    ['curation/laod', 'Did you mean "curation/load"? `simmer plugins` lists all;'],
    ['mine/everything', 'There is: mine/torch. `simmer plugins` lists all;'],
    ['other/everything', 'There is: curation/load, curation/select, mine/torch. `simmer plugins` lists all;'],
  ])('that is not there is answered with those that are: %s', (uses, hint) => {
    expect(() => contributionsNamed(uses, plugins)).toThrow(
      expect.objectContaining({ code: 'unknown_contribution', hint: expect.stringContaining(hint) }),
    );
  });
});

describe("a plugin's name", () => {
  it('names that plugin', () => {
    expect(pluginNamed('mine', plugins)).toEqual([plugins[1]]);
  });

  it.each([
    ['curaton', 'Did you mean "curation"? `simmer plugins RECIPE curaton` looks'],
    ['other', 'There is: curation, mine. `simmer plugins RECIPE other` looks'],
  ])('that is not there is answered with those that are: %s', (name, hint) => {
    expect(() => pluginNamed(name, plugins)).toThrow(
      expect.objectContaining({ code: 'unknown_plugin', hint: expect.stringContaining(hint) }),
    );
  });
});

it('what a recipe that was named does not have, either, is not looked for in it again', () => {
  const isOfRecipe = true;
  expect(() => contributionsNamed('mine/everything', plugins, isOfRecipe)).toThrow(
    expect.objectContaining({ message: 'There is no contribution "mine/everything".', hint: 'There is: mine/torch.' }),
  );
  expect(() => pluginNamed('other', plugins, isOfRecipe)).toThrow(
    expect.objectContaining({ message: 'There is no plugin "other".', hint: 'There is: curation, mine.' }),
  );
});
