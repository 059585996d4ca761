import type { Extraction } from './options.js';

/** Finds the final answer in an answer's text; null where there is none. */
export type Extract = (answer: string) => string | null;

/** The extraction that options ask for. @throws SyntaxError for a pattern that is no regular expression */
export function extractor(extraction: Extraction, answerDelimiter: string): Extract {
  if (extraction === 's1') return (answer) => extractAsS1(answer, answerDelimiter);
  if (extraction === 'whole') return (answer) => presence(answer);
  const expression = new RegExp(extraction.pattern, [...new Set(`g${extraction.flags}`)].join(''));
  return (answer) => {
    const match = [...answer.matchAll(expression)].at(-1);
    return match === undefined ? null : presence(match[1] ?? match[0]);
  };
}

/** After the last delimiter the last `\boxed{}`, else what follows the last `Answer:` (s1, eval; "Final Answer:" ends so too). */
function extractAsS1(answer: string, answerDelimiter: string): string | null {
  const delimiter = answer.lastIndexOf(answerDelimiter);
  const text = delimiter < 0 ? answer : answer.slice(delimiter + answerDelimiter.length);
  const boxed = lastBoxed(text);
  if (boxed !== null) return presence(boxed);
  const marker = text.lastIndexOf('Answer:');
  return marker < 0 ? null : presence(text.slice(marker + 'Answer:'.length));
}

/** The content of the last `\boxed{...}` whose braces balance; escaped braces are content. */
export function lastBoxed(text: string): string | null {
  const opening = /\\f?boxed\s*\{/g;
  let found: string | null = null;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    const end = closingBrace(text, opening.lastIndex);
    if (end === null) continue;
    found = text.slice(opening.lastIndex, end);
    opening.lastIndex = end;
  }
  return found;
}

function closingBrace(text: string, from: number): number | null {
  let depth = 1;
  for (let index = from; index < text.length; index++) {
    const character = text[index];
    if (character === '\\') index++;
    else if (character === '{') depth++;
    else if (character === '}' && --depth === 0) return index;
  }
  return null;
}

function presence(text: string): string | null {
  const trimmed = text.trim();
  return trimmed === '' ? null : trimmed;
}
