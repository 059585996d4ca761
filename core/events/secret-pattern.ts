/**
 * Source of a regular expression that finds a secret as it is, escaped as in JSON, HTML and URLs, and inside of whatever was
 * encoded by base64 with it: a header of Basic authentication has a user before it.
 */
export function secretPattern(secret: string): string {
  return [Array.from(secret, characterPattern).join(''), ...inBase64(secret)].join('|');
}

/** What a secret mostly is where it is written so, as texts: for one that is too long for a pattern. */
export function secretTexts(secret: string): readonly string[] {
  const json = inJson(secret);
  const base64 = digitsOf(secret).flatMap(({ digits }) => [
    digits,
    digits.replaceAll('+', '-').replaceAll('/', '_'),
    encodeURIComponent(digits),
  ]);
  const form = new URLSearchParams([['', secret]]).toString().slice(1);
  const html = secret.replace(/[&<>"']/g, (character) => htmlForms[character] ?? character);
  return [secret, json, inJson(json), encodeURIComponent(secret.toWellFormed()), form, html, ...base64];
}

const htmlForms: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function characterPattern(character: string): string {
  if (/[A-Za-z0-9_.~-]/.test(character)) return literal(character);
  const code = character.codePointAt(0)!;
  const bytes = [...Buffer.from(character)].map((byte) => `%${hexadecimal(byte, 2)}`);
  const numbered = `&#(?:0*${code}|[xX]0*${hexadecimal(code, 1)});`;
  const forms = [literal(character), bytes.join(''), numbered, `\\\\+u${hexadecimal(code, 4)}`];
  return `(?:${[...(otherForms[character] ?? []), ...forms].join('|')})`;
}

/** How JSON, also JSON inside of JSON, HTML and forms write some characters. JSON stays JSON: no backslash is left alone. */
const otherForms: Readonly<Record<string, readonly string[]>> = {
  '"': [String.raw`\\(?:\\\\)*"`, '&quot;'],
  '\\': [String.raw`\\{4}|\\\\`],
  '/': [String.raw`\\(?:\\\\)*/`],
  '\n': [String.raw`\\+n`],
  '\r': [String.raw`\\+r`],
  '\t': [String.raw`\\+t`],
  ' ': [String.raw`\+`],
  '&': ['&amp;'],
  '<': ['&lt;'],
  '>': ['&gt;'],
  "'": ['&apos;'],
};

function inBase64(secret: string): readonly string[] {
  return digitsOf(secret).map(({ digits, isWhole }) => {
    const pattern = Array.from(digits, base64Digit).join('');
    // The digit after these has bits of the secret, too.
    return isWhole ? pattern : `${pattern}(?:[A-Za-z0-9_-]|${base64Digit('+')}|${base64Digit('/')})?`;
  });
}

/** By where in a group of three bytes the secret begins: the digits that it alone decides, and whether others have no bit of it. */
function digitsOf(secret: string): readonly { readonly digits: string; readonly isWhole: boolean }[] {
  const bytes = Buffer.from(secret);
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor(((before + bytes.length) * 8) / 6);
    return { digits: text.slice(first, last), isWhole: (before + bytes.length) % 3 === 0 };
  });
}

/** In both alphabets, and in a URL. */
function base64Digit(digit: string): string {
  if (digit === '+') return '(?:[+-]|%2[bB])';
  if (digit === '/') return String.raw`(?:\\*/|_|%2[fF])`;
  return digit;
}

/** Its letters in any case. */
function hexadecimal(value: number, digits: number): string {
  const text = value.toString(16).padStart(digits, '0');
  return text.replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}
