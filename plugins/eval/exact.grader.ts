import { defineGrader, type Grade, type GradeItem } from 'simmerkit';
import { type ExactOptions, exactOptions } from './options.js';

export const exact = defineGrader({
  description: 'Compares numbers as numbers and everything else as normalized text.',
  options: exactOptions,
  async start(options) {
    return {
      grade: async (items) => items.map((item) => gradeExactly(item, options)),
      [Symbol.asyncDispose]: async () => {},
    };
  },
});

/** Grades one answer. Where the gold answer is a number only a number can be right, so anything else is unparsed. */
export function gradeExactly(item: GradeItem, options: ExactOptions): Grade {
  const gold = normalizeAnswer(item.gold);
  const goldNumber = canonicalNumber(gold);
  const answer = normalizeAnswer(item.answer);
  const parsedAnswer = goldNumber === null ? withoutSpaces(answer) : (readNumber(answer, options.number) ?? '');
  const parsedGold = goldNumber ?? withoutSpaces(gold);
  const shared = { id: item.id, parsedAnswer, parsedGold };
  if (parsedAnswer === '') {
    const explanation =
      answer === '' ? 'There is no answer.' : `The gold answer is a number, and "${answer}" cannot be read as one.`;
    return { ...shared, verdict: 'unparsed', explanation };
  }
  const right = parsedAnswer === parsedGold;
  return {
    ...shared,
    verdict: right ? 'right' : 'wrong',
    explanation: right ? `"${parsedAnswer}" is the gold answer.` : `"${parsedAnswer}" is not "${parsedGold}".`,
  };
}

/** Each is taken off the whole answer: a model that repeats itself opens a hundred thousand. */
const mostLayers = 50;

/** Without what surrounds an answer but is not part of it: further lines, math delimiters, \boxed, \text, a full stop, case. */
export function normalizeAnswer(text: string): string {
  let answer = withoutTypesetting(text.trim().split('\n', 1)[0] ?? '').trim();
  for (let before = '', layer = 0; answer !== before && layer < mostLayers; layer++) {
    before = answer;
    answer = answer
      // Of a model that repeats itself an answer may be a hundred thousand signs: each is looked at once.
      .replace(
        /^\\\((.*)\\\)$|^\\\[(.*)\\\]$|^\$+([^$]+)\$+$|^\${2,}$/,
        (_, round, square, dollar) => round ?? square ?? dollar ?? '',
      )
      .replace(/^\\(?:boxed|fbox)\{(.*)\}$/, '$1')
      .replace(/^\\(?:text|textbf|mathrm|mathbf)\{(.*)\}$/, '$1')
      .replace(/(?<![.。])[.。]+$/, '')
      .trim();
  }
  return answer.replace(/\s+/g, ' ').toLowerCase();
}

/** LaTeX that says how an answer looks: `\$1{,}000`, `10\,000`, `\left(3,\ 4\right)`, `90^\circ`. */
function withoutTypesetting(text: string): string {
  return text
    .replace(/\\!|\\(?:left|right)(?![A-Za-z])/g, '')
    .replace(/\{,\}/g, ',')
    .replace(/(?<=\d)\\,(?=\d{3}(?!\d))/g, '')
    .replace(/\\[,;: ]|~/g, ' ')
    .replace(/\\\$/g, '$')
    .replace(/\^\s*(?:\\circ(?![A-Za-z])|\{\\circ\})/g, '°');
}

/** White space beside signs and brackets says nothing: "(3, 4)" is "(3,4)". */
function withoutSpaces(text: string): string {
  return text.replace(/\s*([-,;:()[\]{}=+*/^|<>])\s*/g, '$1');
}

const sign = '[-+−–]?';
const digits = String.raw`(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?`;
const wholeNumber = new RegExp(String.raw`^[$€£]?\s?(${sign})\s?[$€£]?\s?(${digits})\s?(?:%|\\%|°)?$`);
/** No letter, digit or point before it, so that "x2" and "1.2.3" are not read as numbers; nor parts of "1/2" and "2^3". */
const numberWithin = new RegExp(
  String.raw`(?<![\w.,]|\d\s?/\s?[-+−]?|\^\{?[-+−]?)[-+−]?${digits}(?![\w^]|[.,]\d|\s?/\s?\d)`,
  'g',
);
const fractions = /\\[cdt]?frac\s*(?:\{[^{}]*\}|\w)\s*(?:\{[^{}]*\}|\w)/g;

function readNumber(answer: string, how: ExactOptions['number']): string | null {
  const whole = canonicalNumber(answer);
  if (whole !== null || how === 'whole') return whole;
  const found = [...answer.replace(fractions, 'a fraction').matchAll(numberWithin)]
    .map(([match]) => canonicalNumber(match))
    .filter((one) => one !== null);
  return (how === 'first' ? found[0] : found.at(-1)) ?? null;
}

/** A decimal number without thousands separators, sign of zero, leading or trailing zeros; exact at any length. */
export function canonicalNumber(text: string): string | null {
  const [, signed = '', found] = wholeNumber.exec(text.trim()) ?? [];
  if (found === undefined || !/\d/.test(found)) return null;
  const negative = /^[-−–]/.test(signed);
  const [integer = '', fraction = ''] = found.replaceAll(',', '').split('.');
  const whole = integer.replace(/^0+(?=\d)/, '') || '0';
  const part = fraction.replace(/(?<!0)0+$/, '');
  const value = part === '' ? whole : `${whole}.${part}`;
  return negative && value !== '0' ? `-${value}` : value;
}
