import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalNumber, gradeExactly, normalizeAnswer } from './exact.grader.js';

const grade = (answer: string, gold: string, number: 'whole' | 'first' | 'last' = 'whole') =>
  gradeExactly({ id: '1', answer, gold }, { number }).verdict;

describe('eval/exact', () => {
  it.each([
    ['42', '42'],
    ['042', '42'],
    [' 42. ', '42'],
    ['$42$', '42'],
    ['\\(42\\)', '42'],
    ['\\boxed{42}', '42'],
    ['$\\boxed{42}$.', '42'],
    ['1,234', '1234'],
    ['$1,234.50', '1234.5'],
    ['-0', '0'],
    ['−7', '-7'],
    ['50%', '50'],
    ['42\nbecause 6 * 7 = 42', '42'],
    ['\\text{East}', 'east'],
    ['(3,  4)', '(3, 4)'],
    ['\\left(3,\\, 4\\right)', '(3,4)'],
    ['\\$18', '18'],
    ['-$18.50', '-18.5'],
    ['1{,}234', '1234'],
    ['10\\,000', '10000'],
    ['10,\\!000', '10000'],
    ['120^\\circ', '120'],
    ['\\fbox{7}', '7'],
    ['- 7', '-7'],
  ])('takes %j for %j', (answer, gold) => {
    expect(grade(answer, gold)).toBe('right');
  });

  it.each([
    ['43', '42', 'wrong'],
    ['4.2', '42', 'wrong'],
    ['-42', '42', 'wrong'],
    ['west', 'east', 'wrong'],
    ['', '42', 'unparsed'],
    ['42 marbles', '42', 'unparsed'],
    ['1,23', '123', 'unparsed'],
  ])('takes %j against %j for %s', (answer, gold, verdict) => {
    expect(grade(answer, gold)).toBe(verdict);
  });

  it('reads the first or last number when asked', () => {
    expect(grade('42 marbles of 50', '42', 'first')).toBe('right');
    expect(grade('6 * 7 = 42 marbles', '42', 'last')).toBe('right');
    expect(grade('6 * 7 = 42 marbles', '42', 'first')).toBe('wrong');
    expect(grade('room x42', '42', 'first')).toBe('unparsed');
    expect(grade('1{,}234 marbles', '1234', 'last')).toBe('right');
  });

  it.each(['1/42', '42 / 5', '\\frac{42}{5}', '\\frac{1}{42}', '42^2', '2^{42}', '2^{-42}', '2^-42', '1/-42'])(
    'reads no part of %j as a number',
    (answer) => {
      expect(grade(answer, '42', 'first')).not.toBe('right');
      expect(grade(answer, '42', 'last')).not.toBe('right');
    },
  );
});

it('reads every integer as itself, however it is padded', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.nat({ max: 3 }), (value, zeros) => {
      const digits = String(value < 0n ? -value : value);
      const padded = `${value < 0n ? '-' : ''}${'0'.repeat(zeros)}${digits}.${'0'.repeat(zeros + 1)}`;
      expect(canonicalNumber(padded)).toBe(String(value));
    }),
  );
});

it.each([
  [`${'.'.repeat(400_000)}!`, `${'.'.repeat(400_000)}!`],
  [`${'$'.repeat(400_000)}!`, `${'$'.repeat(400_000)}!`],
  [`${'\\boxed{'.repeat(100_000)}5${'}'.repeat(100_000)}`, `${'\\boxed{'.repeat(99_950)}5${'}'.repeat(99_950)}`],
  [`${'\\boxed{'.repeat(20)}5${'}'.repeat(20)}`, '5'],
  ['$$', ''],
  ['$$ 5 $$...', '5'],
])('reads an answer once, however often a model repeats itself: %#', (answer, expected) => {
  expect(normalizeAnswer(answer)).toBe(expected);
});

it('reads a number once, however many zeros it has', () => {
  const zeros = '0'.repeat(400_000);
  expect(canonicalNumber(`1.${zeros}1${zeros}`)).toBe(`1.${zeros}1`);
});
