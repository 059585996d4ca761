import { expect, test } from 'vitest';
import { parseDocument } from './document.js';
import { ProblemList } from './problem-list.js';

test('problems come in the order of the file, also after a line that is very long', () => {
  const document = parseDocument('a.yaml', `{ long: ${'x'.repeat(100_000)}, late: 1,\n  next: 2 }\n`, 'recipe');
  const problems = new ProblemList(document);
  problems.add('wrong', 'The second.', ['next']);
  problems.add('wrong', 'The first.', ['late']);
  problems.addPlain({ code: 'wrong', message: 'Of no place.' });
  expect(problems.sorted().map(({ message }) => message)).toEqual(['Of no place.', 'The first.', 'The second.']);
});

test('what was told first of a place is the cause of what comes after, also where its path is too long to be told', () => {
  const key = 'k'.repeat(3000);
  const problems = new ProblemList(parseDocument('a.yaml', `? ${key}\n: 1\n`, 'recipe'));
  problems.add('wrong', 'It is wrong.', [key]);
  problems.add('other', 'So this is, too.', [key]);
  expect(problems.sorted().map(({ message }) => message)).toEqual(['It is wrong.']);
});
