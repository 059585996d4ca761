import { expect, it } from 'vitest';
import { pathKey } from '../document/path.js';
import { applyOverrides } from './overrides.js';

it.each(['00', '0x0', '1e0', '-0', '-1', '2'])('an item of a list has one name, which is not %s', (name) => {
  const { value, problems, givenBy } = applyOverrides(
    { plugins: ['a', 'b'] },
    { params: {}, overrides: { [`plugins.${name}`]: 'c' } },
  );
  expect([value, givenBy.size, problems.length]).toEqual([{ plugins: ['a', 'b'] }, 0, 1]);
  expect(problems[0]?.hint).toBe('It has items 0 to 1.');
});

it('an item is set by its place', () => {
  const { value, givenBy } = applyOverrides({ plugins: ['a', 'b'] }, { params: {}, overrides: { 'plugins.1': 'c' } });
  expect(value).toEqual({ plugins: ['a', 'c'] });
  expect([...givenBy.keys()]).toEqual([pathKey(['plugins', 1])]);
});

it('a map that was not there is of the command line too', () => {
  const { value, givenBy } = applyOverrides(
    { stages: { a: {} } },
    { params: {}, overrides: { 'stages.a.with.b': '3' } },
  );
  expect(value).toEqual({ stages: { a: { with: { b: 3 } } } });
  expect([...givenBy.keys()]).toEqual([pathKey(['stages', 'a', 'with'])]);
});

it('a key of a recipe is its own, though a stage has its name, and that of a stage alone is meant for it', () => {
  const recipe = () => ({ stages: { seed: {}, tuned: {} } });
  const { value, problems } = applyOverrides(recipe(), { params: {}, overrides: { seed: '3' } });
  expect([value, problems]).toEqual([{ ...recipe(), seed: 3 }, []]);
  const wrong = applyOverrides(recipe(), { params: {}, overrides: { 'tuned.with.epochs': '3' } });
  expect(wrong.problems[0]?.hint).toBe('Did you mean stages.tuned.with.epochs?');
});

it('names no file where a value of the command line is no number that can be held', () => {
  const { problems } = applyOverrides({ seed: 1 }, { params: {}, overrides: { seed: '1e400' } });
  expect(problems.map(({ message }) => message)).toEqual([
    '--set seed=1e400: This cannot be held exactly as a number: 1e400.',
  ]);
});

it.each(['', '  '])('refuses a value that is not there, which would be null and take the seed away: "%s"', (text) => {
  const { value, problems } = applyOverrides({ seed: 7 }, { params: {}, overrides: { seed: text } });
  expect([value, problems.map(({ code, message }) => [code, message])]).toEqual([
    { seed: 7 },
    [['bad_value', `--set seed=${text}: there is no value behind the "=".`]],
  ]);
});
