/** A key that stands a second time in an object of JSON, and where its quote begins. */
interface RepeatedKey {
  readonly key: string;
  readonly position: number;
}

/** Of JSON that parsed: JavaScript keeps the last of two values without a word. @param value what came of it */
export function repeatedKey(json: string, value: unknown): RepeatedKey | undefined {
  // Nearly always both counts are the same, and then no object has to be looked at.
  const isClear = countKeys(value) === countKeyEnds(json) && !json.includes('\\\\"');
  return isClear ? undefined : findRepeatedKey(json);
}

function countKeys(value: unknown): number {
  const left = [value];
  let count = 0;
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== 'object' || one === null) continue;
    const inner = Object.values(one);
    if (!Array.isArray(one)) count += inner.length;
    for (const each of inner) if (typeof each === 'object') left.push(each);
  }
  return count;
}

/** Quotes before a colon end all keys but those that end with a backslash; those of a string that begins with one count, too. */
function countKeyEnds(json: string): number {
  let count = 0;
  for (let quote = json.indexOf('"'); quote !== -1; quote = json.indexOf('"', quote + 1)) {
    if (json[quote - 1] === '\\') continue;
    let next = quote + 1;
    while (isSpace(json.charCodeAt(next))) next++;
    if (json[next] === ':') count++;
  }
  return count;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function findRepeatedKey(json: string): RepeatedKey | undefined {
  const objects: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '{') objects.push(new Set());
    else if (character === '}') objects.pop();
    else if (character === '"') {
      const end = endOfString(json, at);
      afterSpace.lastIndex = end;
      if (afterSpace.test(json)) {
        const key: string = JSON.parse(json.slice(at, end));
        const keys = objects.at(-1);
        if (keys?.has(key)) return { key, position: at };
        keys?.add(key);
      }
      at = end - 1;
    }
  }
  return undefined;
}

const afterSpace = /[ \t\n\r]*:/y;

/** @param start of its first quote @returns where what follows it begins */
function endOfString(json: string, start: number): number {
  for (let end = start; ; ) {
    end = json.indexOf('"', end + 1);
    let backslashes = 0;
    while (json[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
}
