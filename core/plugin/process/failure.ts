import { UserError } from '../../errors.js';
import type { StageFailed } from '../../generated/simmer/plugin/v1/plugin.js';

/** What a plugin said of its failure; what its author did not foresee is a bug of the plugin's, with the stack there. */
export function toFailure({ code, message, hint, stack }: StageFailed): Error {
  if (code !== '') return new UserError(code, message, { kind: 'runFailed', ...(hint === undefined ? {} : { hint }) });
  const error = new Error(message);
  if (stack !== undefined && stack !== '') error.stack = stack;
  return error;
}
