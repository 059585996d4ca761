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
