/**
 * Parses JSON, as `JSON.parse` does, with numbers as texts of what stands there where JavaScript's would have other
 * digits, or be written with an exponent that nobody gave them.
 * @throws SyntaxError as `JSON.parse`
 */
export function parseExactJson(json: string): unknown {
  const value: unknown = JSON.parse(json);
  if (!hasNumber(value)) return value;
  if (!(eightDigits.test(json) && manyDigits.test(json)) && !smallNumber.test(json)) return value;
  const exact = withExactNumbers(json);
  return exact === json ? value : JSON.parse(exact);
}

function hasNumber(value: unknown): boolean {
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one === 'number') return true;
    if (typeof one === 'object' && one !== null) for (const inner of Object.values(one)) left.push(inner);
  }
  return false;
}

/** Of 16 digits, so many stand on one side of the point. Spelt out it is looked for in a fraction of the time of `\d{8}`. */
const eightDigits = /\d\d\d\d\d\d\d\d/;
const manyDigits = /\d[\d.]{15}/;
/** Such numbers JavaScript writes with an exponent, or takes for zero. */
const smallNumber = /0\.0{6}|e-\d\d\d/i;

/**
 * What is escaped in a string, where a string begins or ends, numbers of many digits or so small that they may get an
 * exponent or be none, and exponents of many digits, which are no numbers.
 */
const jsonPart =
  /\\.|"|-?\d[\d.]{15,}(?:[eE][+-]?\d+)?|-?(?<!\d)0\.0{6}\d*(?:[eE][+-]?\d+)?|-?(?<!\d)\d[\d.]{0,14}[eE]-\d{3,}|[eE][+-]?\d{16,}/g;

function withExactNumbers(json: string): string {
  let isInString = false;
  return json.replace(jsonPart, (part) => {
    if (part === '"') isInString = !isInString;
    return isInString || part === '"' || isExact(part) ? part : `"${part}"`;
  });
}

/** Whether the nearest number is written with the same digits, or there is none: what is too large is no matter of digits. */
function isExact(written: string): boolean {
  const number = Number(written);
  if (!Number.isFinite(number)) return true;
  const shown = String(number);
  return digitsOf(shown) === digitsOf(written) && (/e/i.test(written) || !shown.includes('e'));
}

/** The digits of a decimal number from the first to the last that is not zero, and the exponent of the last; "0" of zero. */
function digitsOf(decimal: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(decimal) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  if (digits === '') return '0';
  let end = digits.length;
  // A regular expression would begin anew at each of the zeros before.
  while (digits[end - 1] === '0') end--;
  return `${digits.slice(0, end)} ${Number(exponent) - fraction.length + digits.length - end}`;
}
