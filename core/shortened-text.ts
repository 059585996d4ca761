/** In UTF-16 units: what somebody reads, and what every client's message holds many times over. */
const longestText = 16_384;

/** The text as an event has it: what a plugin throws or logs may be of any length, and is read whole by every watcher. */
export function cutLongText(text: string): string {
  if (text.length <= longestText) return text;
  const start = startOf(text, longestText);
  return `${start}… (and ${text.length - start.length} characters more)`;
}

/** The first so many UTF-16 units of a text; one less where they would end within a character. */
export function startOf(text: string, length: number): string {
  const isWithin = text.length > length && isPair(text, length - 1);
  return text.slice(0, isWithin ? length - 1 : length);
}

/** The last so many UTF-16 units of a text; one less where they would begin within a character. */
function endOf(text: string, length: number): string {
  const start = Math.max(0, text.length - length);
  return text.slice(isPair(text, start - 1) ? start + 1 : start);
}

/** A text in one line of at most so many UTF-16 units. */
export function shortened(text: string, length = 200): string {
  const line = inOneLine(text);
  return line.length <= length ? line : `${startOf(line, length - 1)}…`;
}

/** As `shortened`, with the end of the text: that of a model's reply decides. */
export function shortenedAtStart(text: string, length = 200): string {
  const line = inOneLine(text);
  return line.length <= length ? line : `…${endOf(line, length - 1)}`;
}

function inOneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** Whether the units at this place and the next one are one character. */
function isPair(text: string, index: number): boolean {
  return (text.codePointAt(index) ?? 0) > 0xffff;
}
