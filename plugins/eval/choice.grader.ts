import { defineGrader, type Grade, type GradeItem, z } from 'simmerkit';

const choiceOptions = z.strictObject({
  letters: z
    .string()
    .regex(/^[A-Z]{2,26}$/, 'capital letters, e.g. ABCD')
    .default('ABCD')
    .describe('The letters that there are to choose from.'),
});

export const choice = defineGrader({
  description: 'Compares the letter of a choice: "B", "(B)", "B) 42" and "the answer is B" are equal.',
  options: choiceOptions,
  async start({ letters }) {
    return {
      grade: async (items) => items.map((item) => gradeChoice(item, letters)),
      [Symbol.asyncDispose]: async () => {},
    };
  },
});

/** Grades one answer. What names no letter, or several, is unparsed. */
export function gradeChoice(item: GradeItem, letters: string): Grade {
  const parsedGold = chosenLetter(item.gold, letters) ?? '';
  const parsedAnswer = chosenLetter(item.answer, letters) ?? '';
  const shared = { id: item.id, parsedAnswer, parsedGold };
  if (parsedGold === '')
    return { ...shared, verdict: 'unparsed', explanation: `The gold answer is none of the letters ${letters}.` };
  if (parsedAnswer === '')
    return { ...shared, verdict: 'unparsed', explanation: `The answer does not name one of the letters ${letters}.` };
  const right = parsedAnswer === parsedGold;
  return {
    ...shared,
    verdict: right ? 'right' : 'wrong',
    explanation: right ? `${parsedAnswer} is the gold answer.` : `${parsedAnswer} is not ${parsedGold}.`,
  };
}

/** The letter that an answer chooses; null where it names none, or more than one without saying which is the answer. */
export function chosenLetter(text: string, letters: string): string | null {
  const typeset = text
    .replace(/\\(?:text|textbf|mathrm|mathbf|boxed|fbox)\s*(?=\{)/g, '')
    .replace(/[$*`{}[\]]|\\[()[\]]/g, '')
    .replace(/["'“‘]([A-Z])["'”’]/g, '$1')
    .replace(/\s+/g, (run) => (run.includes('\n') ? '\n' : ' '))
    .trim()
    .replace(/^A: (?=\(?[A-Z]\)?\.?$)/, '');
  const plain = typeset.slice(placeOfCorrection(typeset, letters));
  // What stands alone in the first line is the answer, and explained in the next.
  const alone = new RegExp(`^\\(?([${letters}${letters.toLowerCase()}])\\)?\\s*(?:[.:]\\s*)?(?:\\n|$)`).exec(
    plain,
  )?.[1];
  if (alone !== undefined) return alone.toUpperCase();
  // Small letters are words ("a"), so that from here on only capitals count.
  const letter = `\\(?[${letters}]\\)?`;
  // A list of letters; what goes on behind it says why they are none: "The answer is D, A and B are too slow."
  const another =
    `(?:\\s+\\(?(?:or|and)\\s+\\(?[${letters}]\\b|\\s*[/&]\\s*${letter}(?!\\w)` +
    `|(?:\\s*(?:[,;+]|[,;]?\\s*\\b(?:or|and)\\b)\\s*${letter})+\\s*(?:[.!]|\\n|$))`;
  const lettersIn = (pattern: string) =>
    [...plain.matchAll(new RegExp(pattern, 'g'))].map(([, letter]) => letter as string);
  const named = (before: string) => lettersIn(`${before}\\(?([${letters}])(?:\\)|(?!\\)))(?![\\w'’]|${another})`);
  const word = '[Cc]hoice|[Oo]ption';
  const statedBy = (be: string) =>
    `(?:[Aa]nswer|ANSWER)(?:\\s+(?:${be})|\\s*:)|(?:${word})\\s+(?:${be})|答案(?:是|为|\\s*[:\\uff1a])`;
  const speaker = '(?:I|[Ww]e)';
  const chosenBy =
    `\\b${speaker}(?<!\\b(?:[Ii]f|[Ww]hen)\\s+${speaker})(?:['’](?:d|ll)|\\s+(?:would|will|must|should))?` +
    '\\s+(?:choose|select|pick|go\\s+with)';
  const said = (by: string) => named(`(?:${by})\\s*(?::\\s*)?(?:(?:the\\s+)?(?:${word})\\s+)?`).at(-1);
  const stated = said(statedBy('is|(?:must|should)\\s+be')) ?? said(chosenBy);
  if (stated !== undefined) return stated;
  const labelled = new RegExp(
    `^\\(?([${letters}])(?:[).:](?=\\s|$)(?!${another}|\\s+(?:is|are|was|fails)\\b|[^]*\\n\\(?[${letters}][).:])|,?\\s+(?:because|since|as(?!\\s+well))\\b|\\s+[-–—]\\s|(?:,\\s|\\s\\()not\\b)`,
  ).exec(plain)?.[1];
  if (labelled !== undefined && (labelled !== letters[0] || !listsAll(plain, letters))) return labelled;
  const supposed = '(?:[Ii]f|[Ww]hether|[Ss]uppos(?:e|ing)|[Aa]ssum(?:e|ing))\\s+(?:that\\s+)?';
  const denied = "\\b(?:[Nn]ot|[Nn]ever|[Nn]obody|(?<!\\b(?:[Nn]o|[Ww]ithout\\s+(?:a|any))\\s)[Dd]oubt)|n['’]t";
  const doubted = `(?:${denied})\\s(?:(?!\\b(?:but|so|because|since)\\b)[^.,;:!?\\n]){0,60}`;
  const judged = (judgement: string) =>
    lettersIn(
      `(?<![\\w'’]|(?:\\b${supposed}|${doubted})(?:(?:${word})\\s+)?\\(?)([${letters}])\\)?\\s+(?:${judgement})\\b`,
    );
  const best = 'best(?=\\s*(?:[.,;:!]|$)|\\s+(?:answer|choice|option))';
  const right = onlyOf(
    judged(`(?:is|must\\s+be)\\s+(?:therefore\\s+)?(?:the\\s+)?(?:only\\s+)?(?:right|correct|answer|${best})`),
  );
  if (right !== null) return right;
  // What would be the answer often is not: something else would have to be so.
  const hypothetical = said(statedBy('would\\s+be'));
  if (hypothetical !== undefined) return hypothetical;
  const itIs =
    `(?:[Ii]t(?:['’]s|\\s+is|\\s+must\\s+be)|(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore),?)\\s+(?:(?:${word})\\s+)?\\(?([${letters}])\\)?` +
    '(?=\\s*(?:[.!]|\\n|$|,?\\s(?:because|since)\\b))';
  const called = lettersIn(`(?<!\\b${supposed}|${doubted})\\b${itIs}`);
  const isTakenBack = /(?:[.!?…—\n]|\s[-–])\s*(?:(?:[Ww]ait|[Aa]ctually)\b|[Nn]o[,.!])/.test(plain);
  const begun = lettersIn(`^(?:So,?\\s+|I\\s+think\\s+(?:that\\s+)?)?${itIs}`).at(0);
  if (begun !== undefined && onlyOf(called) === begun && !isTakenBack) return begun;
  const wrong = new Set([
    ...judged('(?:is|are|must\\s+be)\\s+(?:wrong|incorrect|false|ruled\\s+out|not)|fails'),
    ...named(`\\bnot\\s+(?:(?:${word})\\s+)?`),
  ]);
  // An explanation names other answers and options, too, and says of them that they are wrong.
  const mentioned = [
    named('[Aa]nswer\\s*'),
    named(`(?:${word})\\s*(?::\\s*)?`),
    lettersIn(`\\(([${letters}])\\)`),
    called,
  ];
  const left = mentioned.map((found) => onlyOf(found.filter((letter) => !wrong.has(letter))));
  return [...left, ...mentioned.map(onlyOf)].find((letter) => letter !== null) ?? null;
}

/** Where an answer begins that is given in place of another: the C of "The answer is B. Wait, it is C."; 0 where none is. */
function placeOfCorrection(text: string, letters: string): number {
  const again = '(?:[Ww]ait|[Aa]ctually|[Nn]o)\\b';
  const correction = new RegExp(
    `(?:[,.;!?…—\\n]|\\s[-–])\\s*${again}(?: ${again})*[\\s,.;:!]+(?:[Ii]t(?:['’]s|\\s+is)\\s+)?` +
      `(?=\\(?[${letters}]\\)?\\s*(?:[.!]|\\n|$|,?\\s(?:because|since)\\b))`,
    'g',
  );
  const last = [...text.matchAll(correction)].at(-1);
  return last === undefined ? 0 : last.index + last[0].length;
}

/** Whether a text names all choices in order, as they were given: "(A) 1 (B) 2 (C) 3 (D) 4". */
function listsAll(text: string, letters: string): boolean {
  let place = 0;
  return [...letters].every((letter) => {
    const label = new RegExp(`(?:^|\\s)\\(?${letter}[).:](?=\\s)(?!\\s(?:is|are|was|has|fails|and|or)\\b)`, 'g');
    label.lastIndex = place;
    const isFound = label.test(text);
    place = label.lastIndex;
    return isFound;
  });
}

/** What all of them are; null where they are not the same, or there are none. */
function onlyOf(letters: readonly string[]): string | null {
  const [first = null, ...others] = new Set(letters);
  return others.length === 0 ? first : null;
}
