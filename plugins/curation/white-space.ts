/** White space beyond ASCII, for the brackets of an expression. */
export const wideSpace = '\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/**
 * White space as Python has it, in whose words s1's rules are written: `\s` of JavaScript has no separators (0x1c to 0x1f)
 * and no next line, and has the byte order mark.
 */
export const whiteSpace = `\\x09-\\x0d\\x1c-\\x20${wideSpace}`;
