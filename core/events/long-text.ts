/** In UTF-16 code units: what somebody reads, and what every client's message holds many times over. */
const longestText = 16_384;

/** The text as an event has it: what a plugin throws or logs may be of any length, and is read whole by every watcher. */
export function cutLongText(text: string): string {
  if (text.length <= longestText) return text;
  // No character is cut in half.
  const start = text.slice(0, longestText).replace(/[\uD800-\uDBFF]$/, '');
  return `${start}… (and ${text.length - start.length} characters more)`;
}
