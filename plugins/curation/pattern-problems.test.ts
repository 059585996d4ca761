import { expect, it } from 'vitest';
import { load } from './load.stage.js';
import { quality } from './quality.stage.js';
import { select } from './select.stage.js';

const where = { recipeFolder: '.' };
const fault = { code: 'invalid_pattern', message: expect.stringContaining('is no regular expression: Invalid group.') };

it('quality says which pattern is wrong, and which flags it means', async () => {
  const options = quality.options.parse({
    drop: [
      { rule: 'done', pattern: 'done' },
      { rule: 'todo', pattern: '(?i)todo' },
    ],
  });
  expect(await quality.check?.(options, where)).toEqual([
    { ...fault, path: 'drop.1.pattern', hint: expect.stringContaining('In place of (?i) write flags: iu.') },
  ]);
});

it('select and load, which have fixed flags, say that it cannot have its own', async () => {
  const hint = expect.stringContaining('It cannot begin with (?i).');
  const selected = select.options.parse({ method: 'all', preselect: [{ minLength: 1 }, { source: '(?i)aime' }] });
  expect(await select.check?.(selected, where)).toEqual([{ ...fault, path: 'preselect.1.source', hint }]);
  const loaded = load.options.parse({ sources: { mine: { path: 'x.csv', where: { level: '(?i)hard' } } } });
  expect(await load.check?.(loaded, where)).toEqual([{ ...fault, path: 'sources.mine.where.level', hint }]);
});
