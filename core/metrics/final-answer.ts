/** A line that begins with a marker of another case or form, or is one as a heading: `final answer: 42`, `### Final Answer`. */
const looseMarker = /^[#>*_ \t]*(?:the +)?(?:final +)?answer[*_]*[ \t]*(?::|$)/gim;

/**
 * The final answer in an answer's text by the rules of s1's evaluation: after the last delimiter the last `\boxed{}`, or
 * the last list of them (`\boxed{3} and \boxed{5}`), else what follows the last `Answer:` ("Final Answer:" ends so too)
 * without Markdown's emphasis. Where there is no such marker, a line may begin with one in another case, or be a heading.
 * What a reply thinks before it, up to `</think>`, does not count, nor what a base model goes on with: another question
 * and its answer. Null where there is none.
 * @param delimiter what starts an answer, should the model repeat it
 */
export function finalAnswer(answer: string, delimiter = '<|im_start|>answer'): string | null {
  const place = answer.lastIndexOf(delimiter);
  const text = withoutRunOn(withoutThinking(place < 0 ? answer : answer.slice(place + delimiter.length)));
  const boxed = lastBoxed(text);
  if (boxed !== null) return presence(boxed);
  const [loose] = [...text.matchAll(looseMarker)].slice(-1);
  const [marker = loose] = [...text.matchAll(/Answer(?:\*\*|__)?:/g)].slice(-1);
  return marker === undefined ? null : presence(withoutEmphasis(text.slice(marker.index + marker[0].length)));
}

/** Behind the first `</think>`, without what is thought again; before it where nothing follows it. */
function withoutThinking(text: string): string {
  const [thinking = '', ...parts] = text.split('</think>');
  // Of the first, the chat template may have written the begin. A later end without one ends nothing.
  const said = parts.map((part) => part.split('<think>', 1)[0]).join('\n');
  return said.split(endToken, 1)[0]?.trim() ? said : thinking;
}

const endToken = /<\|(?:im_end|endoftext|end_of_text|eot_id)\|>|<\/s>/;
/** Ends a reply, or is what a model that writes no end goes on with: a question that nobody asked. */
const end = new RegExp(
  `${endToken.source}|\\n[ \\t]*(?:[*#]+ ?)?(?:Question|Problem|Exercise|Q|Human|User)(?: \\d+)?(?:\\*\\*)?:`,
  'g',
);
/** Before it, a question may be the one that was asked, said again. */
const answered = /\\(?:boxed|fbox)\s*\{|####|\banswer\b[^.:=\n]{0,30}?(?:\bis\b|[:=])/i;

/** A reply up to where it ends, or goes on with another question. The grader of mathematics has the same rule, as for boxes. */
function withoutRunOn(text: string): string {
  const found = answered.exec(text);
  if (found === null) return text;
  end.lastIndex = found.index + found[0].length;
  return text.slice(0, end.exec(text)?.index);
}

/** Models write `**Answer:** 42`, `**Answer: 42**`, `**Answer**: 42` and `Answer: **42**`; the stars of `(x^*, y^*)` are none of Markdown's. */
function withoutEmphasis(text: string): string {
  return text
    .replace(/^(?:\*\*|__)(?=\s|$)/, '')
    .replace(/(?<![\w*^{\\])(\*\*|__|[*`])(?=[^\s*])([^*`\n]{0,200}[^\s*`])\1(?![\w*])/g, '$2')
    .replace(/^([^*\n]*[^\s*])\*\*(?=\s*$|\s*\n)/, '$1');
}

/** Between the boxes of one list. */
const joint = /^[\s$]*(?:,|,?\s*(?:\\text\s*\{\s*)?\b(?:and|or)\b\s*\}?)[\s$]*$/;

/**
 * The content of the last `\boxed{...}` or `\fbox{...}` whose braces balance, after those that stand in a list with it;
 * escaped braces are content. The grader of mathematics has the same rule in Python, for replies that come to it whole, as
 * this has it for all other graders: one list of cases holds both.
 */
function lastBoxed(text: string): string | null {
  const opening = /\\(?:boxed|fbox)\s*\{/g;
  let found: string[] = [];
  let foundEnd = 0;
  let closing: ReadonlyMap<number, number> | undefined;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    closing ??= closingBraces(text);
    const end = closing.get(opening.lastIndex - 1);
    if (end === undefined) continue;
    const content = text.slice(opening.lastIndex, end);
    const isNext = match.index - foundEnd < 40 && joint.test(text.slice(foundEnd, match.index));
    if (!isNext) found = [];
    found.push(content);
    foundEnd = end + 1;
    opening.lastIndex = end;
  }
  return found.length === 0 ? null : [...new Set(found)].join(', ');
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
