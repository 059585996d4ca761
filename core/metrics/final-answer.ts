/**
 * The final answer in an answer's text by the rules of s1's evaluation: after the last delimiter the last `\boxed{}`,
 * else what follows the last `Answer:` ("Final Answer:" ends so too) without Markdown's emphasis. Null where there is
 * none.
 * @param delimiter what starts an answer, should the model repeat it
 */
export function finalAnswer(answer: string, delimiter = '<|im_start|>answer'): string | null {
  const place = answer.lastIndexOf(delimiter);
  const text = place < 0 ? answer : answer.slice(place + delimiter.length);
  const boxed = lastBoxed(text);
  if (boxed !== null) return presence(boxed);
  const [marker] = [...text.matchAll(/Answer(?:\*\*|__)?:/g)].slice(-1);
  return marker === undefined ? null : presence(withoutEmphasis(text.slice(marker.index + marker[0].length)));
}

/** Models write `**Answer:** 42`, `**Answer: 42**`, `**Answer**: 42` and `Answer: **42**`; the stars of `(x^*, y^*)` are none of Markdown's. */
function withoutEmphasis(text: string): string {
  return text
    .replace(/^(?:\*\*|__)(?=\s|$)/, '')
    .replace(/(?<![\w*^{\\])(\*\*|__|[*`])(?=[^\s*])([^*`\n]{0,200}[^\s*`])\1(?![\w*])/g, '$2')
    .replace(/^([^*\n]*[^\s*])\*\*(?=\s*$|\s*\n)/, '$1');
}

/** The content of the last `\boxed{...}` or `\fbox{...}` whose braces balance; escaped braces are content. */
function lastBoxed(text: string): string | null {
  const opening = /\\(?:boxed|fbox)\s*\{/g;
  let found: string | null = null;
  let closing: ReadonlyMap<number, number> | undefined;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    closing ??= closingBraces(text);
    const end = closing.get(opening.lastIndex - 1);
    if (end === undefined) continue;
    found = text.slice(opening.lastIndex, end);
    opening.lastIndex = end;
  }
  return found;
}

/** Place of each brace that is closed, to that of the one that closes it. In one reading: a model may open thousands. */
function closingBraces(text: string): ReadonlyMap<number, number> {
  const closing = new Map<number, number>();
  const open: number[] = [];
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '\\') index++;
    else if (character === '{') open.push(index);
    else if (character === '}') {
      const place = open.pop();
      if (place !== undefined) closing.set(place, index);
    }
  }
  return closing;
}

function presence(text: string): string | null {
  const trimmed = text.trim();
  return trimmed === '' ? null : trimmed;
}
