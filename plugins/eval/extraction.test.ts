import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { extractor } from './extraction.js';
import { extractionSchema } from './options.js';

const s1 = extractor('s1', '<|im_start|>answer');

/** The grader in Python reads them alike; `test_boxes.py` has the other side. */
const boxes = JSON.parse(readFileSync(new URL('python/tests/boxes.json', import.meta.url), 'utf8')) as readonly {
  readonly text: string;
  readonly answer: string;
}[];

describe('extraction s1', () => {
  it.each(boxes)('reads the boxes of $text as $answer', ({ text, answer }) => {
    expect(s1(text)).toBe(answer);
  });

  it.each([
    ['the last box', 'So \\boxed{1}, no: \\boxed{2}.', '2'],
    ['a box with nested braces', 'Final Answer: \\boxed{\\frac{3}{4}}', '\\frac{3}{4}'],
    ['a box before a later Answer:', '\\boxed{5} Answer: 6', '5'],
    ['what follows the last Answer:', 'Answer: 3\nFinal Answer: 42', '42'],
    ['only what comes after the last delimiter', 'Answer: 1<|im_start|>answer\nAnswer: 2', '2'],
    ['no box of its thinking', '<think>\\boxed{41}</think>\n\nAnswer: 42', '42'],
    ['an answer that ends as thinking does', 'Answer: 42\n</think>\n', '42'],
    ['nothing where there is neither', 'It is 42.', null],
    ['nothing where nothing follows', 'Final Answer:', null],
    ['the last box that is closed', '\\boxed{7} \\boxed{8', '7'],
    ['nothing in an empty box', '\\boxed{ }', null],
    ['a frame that is no \\boxed', 'It is \\fbox{42}.', '42'],
    ['what an emphasized marker is followed by', '**Final Answer:**\n\n42', '42'],
    ['what follows a marker whose word alone is emphasized', '**Answer**: 41\n\n**Final Answer**: 42', '42'],
    [
      'an answer that is emphasized with its marker',
      '**Answer: 42 marbles**\n\nThat is all.',
      '42 marbles\n\nThat is all.',
    ],
    ['an emphasized answer', 'Answer: **$42**', '$42'],
    ['two that are emphasized', '**Answer:** **4** and `2`', '4 and 2'],
    ['all of a list of boxes', 'They are $\\boxed{3}$, $\\boxed{5}$, and $\\boxed{7}$.', '3, 5, 7'],
    ['two boxes of one sentence', 'x is \\boxed{1} or \\boxed{-2}.', '1, -2'],
    ['a box that is repeated once', '\\boxed{42}, \\boxed{42}', '42'],
    ['what follows a heading', 'We add.\n\n### Final Answer\n\n**42**', '42'],
    ['what follows an emphasized heading', '**Final Answer**\n42', '42'],
    ['what follows a marker in another case', 'We add.\n**Final answer:** **42**', '42'],
    ['a marker of s1 before one in another case', 'Answer: 42\nanswer: none', '42\nanswer: none'],
    ['no marker inside a line', 'To find the final answer: add.', null],
    ['stars of mathematics as they are', 'Answer: (x^*, y^*) and (a^{*}, b^{*})', '(x^*, y^*) and (a^{*}, b^{*})'],
    ['no answer to a question that a base model goes on with', 'Answer: 42\n\nQuestion: 2 + 2?\nAnswer: 4', '42'],
    ['the answer behind the question said again', 'Question: 6 * 7?\nAnswer: 42', '42'],
    ['products and powers as they are', 'Answer: 2**10 * 3*x*y', '2**10 * 3*x*y'],
  ])('finds %s', (_, answer, expected) => {
    expect(s1(answer)).toBe(expected);
  });
});

it('takes a box with escaped braces whole', () => {
  expect(s1('\\boxed{\\{1, 2\\}}')).toBe('\\{1, 2\\}');
});

it('reads an answer once that opens box after box and closes none, as a model does that repeats itself', () => {
  expect(s1(`Answer: 1 ${'\\boxed{'.repeat(100_000)}`)).toMatch(/^1 /);
  expect(s1(`${'\\boxed{'.repeat(100_000)}2}`)).toBe('2');
});

it('takes the first group of the last match of a pattern', () => {
  const extract = extractor({ pattern: '#### (.*)', flags: '' }, 'unused');
  expect(extract('#### 1\n#### 72')).toBe('72');
  expect(extract('72')).toBeNull();
});

it('takes the whole answer when asked', () => {
  expect(extractor('whole', 'unused')('  42 \n')).toBe('42');
  expect(extractor('whole', 'unused')('  ')).toBeNull();
});

it('says what to write in place of flags in a pattern', () => {
  const { error } = extractionSchema.safeParse({ pattern: '(?i)answer' });
  expect(JSON.stringify(error?.issues)).toContain('In place of (?i) write flags: i.');
});
