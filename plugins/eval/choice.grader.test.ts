import { expect, it } from 'vitest';
import { chosenLetter, gradeChoice } from './choice.grader.js';

it.each([
  ['B', 'B'],
  [' (b) ', 'B'],
  ['\\boxed{\\text{C}}', 'C'],
  ['**D**.', 'D'],
  ['B) 42 metres', 'B'],
  ['A. The first law', 'A'],
  ['The answer is (C), since A fails.', 'C'],
  ['First I took option A. Final answer: D', 'D'],
  ['So it must be (B).', 'B'],
  ['C\n\nExplanation: (A) and (B) are wrong.', 'C'],
  ['(D).\nOption A fails.', 'D'],
  ['C, because A is wrong.', 'C'],
  ['B - 42 metres', 'B'],
  ['[C]', 'C'],
  ['"C"', 'C'],
  ['The answer is B because option A is wrong.', 'B'],
  ['The correct answer is option C. Option D fails.', 'C'],
  ['The correct choice is: B; option C is too slow.', 'B'],
  ['Option (B), then.', 'B'],
  ['The correct answer is B. Answer A is wrong because it is too slow.', 'B'],
  ['The answer is B, and answer choice A is wrong.', 'B'],
  ['Answer B, since option A is too slow.', 'B'],
  ['The answer is B and here is why.', 'B'],
  ['Option A is wrong. Option B is right.', 'B'],
  ['Option B is right, while option C is wrong.', 'B'],
  ['(B) is the correct choice; (A) and (C) come close.', 'B'],
  ['If A is correct, it explodes. So B is correct.', 'B'],
  ['Option A is incorrect, and option D fails, which leaves option C.', 'C'],
  ['Answer A is wrong, so I take option B.', 'B'],
  ['Option A is wrong.', 'A'],
  ['A: too slow\nB: fits\nC: too hot\n\nSo the answer is B.', 'B'],
  ['Thus the answer must be B.', 'B'],
  ['I would choose B.', 'B'],
  ["I'd go with B, not with A.", 'B'],
  ['Many say A, but B is the answer.', 'B'],
  ['If A is the answer, it explodes. So B is the answer.', 'B'],
  ['The answer is B. Many choose A.', 'B'],
  ['ANSWER: B', 'B'],
  ['答案是B。', 'B'],
  ['正确答案\uff1aB', 'B'],
  ['I think it is (B), not (A).', 'B'],
  ['If we pick A the result is 3. Option B gives 4, which is right.', 'B'],
  ['Many choose A, but option B is right.', 'B'],
  ['Do not choose A. (B) fits.', 'B'],
  ['I choose not to pick A; option B fits.', 'B'],
  ["Option A is too slow and option C too hot, so I'd choose B.", 'B'],
  ['The answer is B. The answer would be A if x were negative.', 'B'],
  ['B. The answer would be A if x were negative.', 'B'],
  ['Option A is tempting. The answer would be B.', 'B'],
  ['A is best known for its low cost. (B) fits the question.', 'B'],
  ['(B) is best.', 'B'],
  ["It's B.", 'B'],
  ["It's B. Option A is tempting, too.", 'B'],
  ['I think it’s (B), because it fits.', 'B'],
  ['We add the two. So it must be B', 'B'],
  ['At first it looks as if it is A. But (B) fits.', 'B'],
  ["It's A. Wait, no. (B) fits.", 'B'],
  ["It's A. Wait, no, it's B.", 'B'],
  ["It can't be A, so it's B.", 'B'],
  ["It isn't A. It's B.", 'B'],
  ["It's B. Option A actually describes osmosis.", 'B'],
  ["It's B because one has to wait. (A) is faster.", 'B'],
  ["I'm not sure but I think it's B.", 'B'],
  ["There is no doubt that it's B.", 'B'],
  ['B is the best choice.', 'B'],
  ['Suppose A is correct. Then x = 1, a contradiction. So (B).', 'B'],
  ['Assume that A is correct: x = 1, a contradiction. So (B).', 'B'],
  ['The answer is B, not C.', 'B'],
  ['The answer is B, C is too slow.', 'B'],
  ['(A) 5, because (B), (C) and (D) are too slow.', 'A'],
  ['(A) 1 (B) 2 (C) 3 (D) 4. The answer is (C).', 'C'],
  ['C. Of A. 1 B. 2 C. 3 D. 4 it is the only odd prime above 2.', 'C'],
  ['C) 3. A) 1 is too small. B) 2 is too small. D) 4 is too large.', 'C'],
  ['C. 3\n\nExplanation: A) 1 is too small. B) 2, too. D) 4 is too large.', 'C'],
  ['(A) is wrong (B) is wrong (C) is right (D) is wrong', 'C'],
  ['The answer is D, A and B are false.', 'D'],
  ['The answer is D, (A), (B), (C) violate parity.', 'D'],
  ['Answer: A; B, C and D are smaller.', 'A'],
  ['The answer is C, A + B = 3.', 'C'],
  ['B (not C)', 'B'],
  ['A and B are wrong, so C', 'C'],
  ['The answer is not A, so B.', 'B'],
  ['The energy is conserved. Therefore, B.', 'B'],
])('reads %s as the letter %s', (text, letter) => {
  expect(chosenLetter(text, 'ABCD')).toBe(letter);
});

it.each([
  '',
  'a cat',
  'A or B',
  'A, C',
  'A as well as C',
  'A molecule - of water',
  'Either (A) or (B).',
  'E',
  'Answer is A or B',
  'Answer A or answer B',
  'Answer is (A) and (B)',
  '(A) or (B)',
  'The answer is (A) or (B).',
  'Option B is right, and option C is right.',
  'Option B is tall, while option C is wide.',
  'B is not correct, and C is not correct.',
  'Because of Boyle',
  "It's A or B.",
  "It's A molecule of water.",
  "Whether it's A. We cannot know.",
  "I don't think it's B.",
  'I doubt that it is B. We cannot know.',
  "I think it's A. On second thoughts it's C.",
  '42',
  "The answer is A's.",
  'Answer: B/C',
  'The answer is B, C',
  'The answer is B, or C.',
  'The answer is (B), (C), and (D).',
  'The answer is B (or C).',
  'I choose B & C.',
  '(A) 1 (B) 2 (C) 3 (D) 4',
  'A. 1 B. 2 C. 3 D. 4',
  'A and B are right, so C and D.',
  'So, A. But then D would hold, so D.',
])('guesses no letter in %j', (text) => {
  expect(chosenLetter(text, 'ABCD')).toBeNull();
});

it('counts what names no letter as unparsed', () => {
  const grade = (answer: string, gold = 'B') => gradeChoice({ id: '0', gold, answer }, 'ABCD').verdict;
  expect([grade('(B)'), grade('C'), grade('none of them'), grade('B', '42')]).toEqual([
    'right',
    'wrong',
    'unparsed',
    'unparsed',
  ]);
});

it.each(['A', 'The answer is', 'Wait'])('reads an answer once that goes on with white space after %j', (start) => {
  const end = start === 'A' ? '!' : 'B!';
  expect(chosenLetter(`${start}${' '.repeat(400_000)}${end}`, 'ABCD')).toBe(start === 'The answer is' ? 'B' : null);
});

it.each(['Wait. ', 'no, wait. ', '\nNo'])('reads an answer once that goes on with %j without end', (again) => {
  expect(chosenLetter(`It's A. ${again.repeat(60_000)} It is B.`, 'ABCD')).toBe('B');
});

it('reads an answer once that goes on with empty lines', () => {
  expect(chosenLetter(`It's A.${'\n'.repeat(400_000)}Wait, it is B.`, 'ABCD')).toBe('B');
});
