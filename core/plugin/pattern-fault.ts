/**
 * What is wrong with an option that is a regular expression, and what to do; undefined where it is one.
 *
 * @param flags the option beside it with its flags; undefined where there is none
 */
export function patternFault(
  pattern: string,
  flags?: string,
): { readonly reason: string; readonly hint: string } | undefined {
  try {
    new RegExp(pattern, flags);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    // V8 repeats the expression before the reason.
    const reason = message.slice(message.lastIndexOf('/') + 1).replace(/^[a-z]*: /, '');
    return { reason, hint: `It is read as JavaScript reads regular expressions.${insteadOfInline(pattern, flags)}` };
  }
}

/** Other languages have flags at the start of the expression. */
function insteadOfInline(pattern: string, flags: string | undefined): string {
  const [written, inline = ''] = /^\(\?([a-z]+)\)/.exec(pattern) ?? [];
  if (written === undefined) return '';
  if (flags === undefined) return ` It cannot begin with ${written}.`;
  const known = [...inline].filter((flag) => 'ims'.includes(flag));
  return ` In place of ${written} write flags: ${[...new Set([...known, ...flags])].join('')}.`;
}
