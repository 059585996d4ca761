import { describe, expect, it } from 'vitest';
import type { GivenGrade } from '../trainer/trainer.js';
import { checkGrades } from './check-grades.js';

const items = ['a', 'b'].map((id) => ({ id, gold: '1', answer: '1' }));

function check(...grades: unknown[]) {
  return checkGrades('mine/grader', items, grades as GivenGrade[]);
}

describe('the grades that a grader gave', () => {
  it('are taken with empty texts for what a grader does not say', () => {
    expect(check({ id: 'a', verdict: 'right', parsedAnswer: '1' }, { id: 'b', verdict: 'unparsed' })).toEqual([
      { id: 'a', verdict: 'right', parsedAnswer: '1', parsedGold: '', explanation: '' },
      { id: 'b', verdict: 'unparsed', parsedAnswer: '', parsedGold: '', explanation: '' },
    ]);
  });

  it.each([
    ['one too few', [{ id: 'a', verdict: 'right' }], 'gave 1 grades where 2 were asked for'],
    [
      'another order',
      [
        { id: 'b', verdict: 'right' },
        { id: 'a', verdict: 'right' },
      ],
      'gave a grade with the id "b" where that of "a" was due',
    ],
    [
      'a verdict that nobody knows',
      [
        { id: 'a', verdict: 'ok' },
        { id: 'b', verdict: 'right' },
      ],
      'gave the answer "a" the verdict "ok"',
    ],
    ['a grade that is none', [undefined, { id: 'b', verdict: 'right' }], 'where that of "a" was due'],
  ])('are refused with %s', (_, grades, message) => {
    expect(() => check(...grades)).toThrow(`The grader mine/grader gave`);
    expect(() => check(...grades)).toThrow(message);
  });

  it('are refused where they are no list', () => {
    expect(() => checkGrades('mine/grader', items, undefined as unknown as GivenGrade[])).toThrow('no list of grades');
  });
});
