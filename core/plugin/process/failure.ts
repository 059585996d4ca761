import { isUserError, UserError } from '../../errors.js';
import type { StageFailed } from '../../generated/simmer/plugin/v1/plugin.js';

/** What a plugin said of its failure; what its author did not foresee is a bug of the plugin's, with the stack there. */
export function toFailure({ code, message, hint, stack }: StageFailed): Error {
  if (code !== '') return new UserError(code, message, { kind: 'runFailed', ...(hint === undefined ? {} : { hint }) });
  const error = new Error(message);
  // Its message begins with the name that it has there.
  error.name = '';
  if (stack !== undefined && stack !== '') error.stack = stack;
  return error;
}

/** What went wrong, with what was asked. What its author did not foresee is named by who asked. */
export function namedFailure(what: string, error: unknown): unknown {
  if (!isUserError(error)) return error;
  const { code, message, kind, hint } = error;
  return new UserError(code, `${what} failed: ${message}`, {
    kind,
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
