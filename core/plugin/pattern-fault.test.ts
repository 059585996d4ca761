import { expect, test } from 'vitest';
import { patternFault } from './pattern-fault.js';

const how = 'It is read as JavaScript reads regular expressions.';

test.each([
  ['(TODO', 'u', 'Unterminated group', how],
  ['a/b: (', undefined, 'Unterminated group', how],
  ['(?i)todo', 'u', 'Invalid group', `${how} In place of (?i) write flags: iu.`],
  ['(?xs)to do', '', 'Invalid group', `${how} In place of (?xs) write flags: s.`],
  ['(?i)todo', undefined, 'Invalid group', `${how} It cannot begin with (?i).`],
  ['todo', 'x', "Invalid flags supplied to RegExp constructor 'x'", how],
])('of the pattern %s with the flags %s', (pattern, flags, reason, hint) => {
  expect(patternFault(pattern, flags)).toEqual({ reason, hint });
});

test('a pattern that JavaScript knows has no fault', () => {
  expect(patternFault('\\btodo\\b', 'iu')).toBeUndefined();
});
