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
  const isListed = '(?=\\s*(?:[.,;!/&+)]|\\n|$|(?:or|and)\\b))';
  const another =
    `(?:\\s+\\(?(?:or|and)\\s+\\(?[${letters}]\\b` +
    `|\\s*(?:[/&+]|[,;](?:\\s*(?:or|and)\\b)?)\\s*\\(?[${letters}]\\)?${isListed})`;
  // The choices said again: "(A) 1 (B) 2 (C) 3 (D) 4".
  const others = `(?:[^]*?\\s\\(?[${letters}][).:]\\s(?!(?:is|are|was|has|fails|and|or)\\b)){${letters.length - 1}}`;
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
    `^\\(?([${letters}])(?:[).:](?=\\s|$)(?!${another}|${others}|[^]*\\n\\(?[${letters}][).:])|,?\\s+(?:because|since|as(?!\\s+well))\\b|\\s+[-–—]\\s)`,
  ).exec(plain)?.[1];
  if (labelled !== undefined) return labelled;
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
    `[Ii]t(?:['’]s|\\s+is|\\s+must\\s+be)\\s+(?:(?:${word})\\s+)?\\(?([${letters}])\\)?` +
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

/** What all of them are; null where they are not the same, or there are none. */
function onlyOf(letters: readonly string[]): string | null {
  const [first = null, ...others] = new Set(letters);
  return others.length === 0 ? first : null;
}
