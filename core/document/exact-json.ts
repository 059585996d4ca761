/**
 * Parses JSON, as `JSON.parse` does, with numbers that would lose digits as texts of what stands there: integers beyond
 * 2^53, and those with more digits than JavaScript's numbers hold.
 * @throws SyntaxError as `JSON.parse`
 */
export function parseExactJson(json: string): unknown {
  const value: unknown = JSON.parse(json);
  if (!hasNumber(value) || !eightDigits.test(json)) return value;
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

/** What is escaped in a string, where a string begins or ends, and numbers of many digits. */
const jsonPart = /\\.|"|-?\d[\d.]{15,}(?:[eE][+-]?\d+)?/g;

function withExactNumbers(json: string): string {
  let isInString = false;
  return json.replace(jsonPart, (part) => {
    if (part === '"') isInString = !isInString;
    return isInString || part === '"' || isExact(part) ? part : `"${part}"`;
  });
}

/** Whether the nearest number is written with the same digits, or has none: what is too large is no matter of digits. */
function isExact(written: string): boolean {
  const number = Number(written);
  return !Number.isFinite(number) || digitsOf(String(number)) === digitsOf(written);
}

/** The digits of a decimal number from the first to the last that is not zero, and the exponent of the last. */
function digitsOf(decimal: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(decimal) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  return `${significant} ${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
