import { type OptionProblem, patternFault } from 'simmerkit';

/** What is wrong with the option at a path, which is a regular expression. @param flags as `patternFault` takes them */
export function patternProblems(path: string, pattern: string, flags?: string): readonly OptionProblem[] {
  const fault = patternFault(pattern, flags);
  if (fault === undefined) return [];
  const { reason, hint } = fault;
  return [{ path, code: 'invalid_pattern', message: `${path} is no regular expression: ${reason}.`, hint }];
}
