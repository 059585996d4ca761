import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gradeChoice } from './choice.grader.js';
import { gradeExactly } from './exact.grader.js';

interface Answer {
  readonly gold: string;
  readonly reply: string;
  readonly verdict: 'right' | 'wrong' | 'unparsed';
}

/** What a careful person says of answers; `test_answers.py` holds the grader of mathematics to all of them. */
const answers = readFileSync(new URL('python/tests/answers.jsonl', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Answer);
const choices = answers.filter(({ gold }) => /^[A-D]$|^\\text\{\([A-D]\)\}$/.test(gold));
const others = answers.filter(({ verdict }) => verdict !== 'right');

describe('eval/choice', () => {
  it.each(choices)('takes $reply for $gold as $verdict', ({ gold, reply, verdict }) => {
    const grade = gradeChoice({ id: '0', gold, answer: reply }, 'ABCD');
    expect(grade.verdict === 'right').toBe(verdict === 'right');
  });
});

describe('eval/exact', () => {
  it('takes none for right that is not', () => {
    const taken = others.filter(
      ({ gold, reply }) => gradeExactly({ id: '0', gold, answer: reply }, { number: 'whole' }).verdict === 'right',
    );
    expect(taken).toEqual([]);
  });
});
