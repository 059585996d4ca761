import stringWidth from 'string-width';

/** What is not broken: a word, what stands in backquotes, and a command to type that ends a sentence. */
const whole = /[^\s`]*`[^`\n]*`[^\s`]*|(?<=: )simmer [^\n;]*;?|\S+/g;

/** A text as lines of at most so many columns, broken between words; a longer word, or command, has a line of its own. */
export function wrapText(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const [word] of text.matchAll(whole)) {
    if (line !== '' && stringWidth(line) + 1 + stringWidth(word) > width) {
      lines.push(line);
      line = '';
    }
    line += (line === '' ? '' : ' ') + word;
  }
  return [...lines, line];
}

/** A line, its indent kept, where it is too long as several: further ones stand two columns further in. */
export function wrapLine(line: string, width = Number.POSITIVE_INFINITY): readonly string[] {
  if (stringWidth(line) <= width) return [line];
  const indent = /^ */.exec(line)?.[0] ?? '';
  const [first, ...rest] = wrapText(line.slice(indent.length), width - indent.length - 2);
  return [indent + first, ...rest.map((more) => `${indent}  ${more}`)];
}
