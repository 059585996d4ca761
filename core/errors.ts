import { cutLongText } from './shortened-text.js';

/** Why a command ended, as its exit code. */
export const exitCodes = {
  ok: 0,
  /** A bug of Simmer's own, or of a plugin where nothing better is known. */
  bug: 1,
  /** Bad recipe, bad option, bad usage. */
  usage: 2,
  /** The machine: no Python, no disk space, a locked run folder. */
  environment: 3,
  /** The run started and failed. */
  runFailed: 4,
  /** A limit of the run's budget: all that is paid for is kept, and a larger budget goes on. */
  budget: 5,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** Which exit code an error leads to. */
export type ErrorKind = 'usage' | 'environment' | 'runFailed' | 'budget' | 'interrupted';

/** Of a problem where a secret may stand in the recipe itself: neither its line nor its value is shown. */
export const secretInRecipe = 'secret_in_recipe';

/** Where in a file of the user's something is; line and column count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong in a file of the user's. */
export interface Problem {
  /** Stable, snake_case: "unknown_key", "wrong_type", "missing_file". */
  readonly code: string;
  /** Names the thing, what was expected and what was found. */
  readonly message: string;
  readonly position?: SourcePosition;
  /** Dotted path of the key in the recipe, e.g. "stages.pool.with.size". */
  readonly path?: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** What an error is on disk and in events. */
export interface ErrorRecord {
  readonly code: string;
  /** Absent for bugs. */
  readonly kind?: ErrorKind;
  readonly message: string;
  readonly hint?: string;
  readonly problems?: readonly Problem[];
  /** Only for bugs. */
  readonly stack?: string;
}

export interface UserErrorOptions {
  readonly kind?: ErrorKind;
  readonly hint?: string;
  readonly cause?: unknown;
  readonly problems?: readonly Problem[];
}

/**
 * An error that is the user's to mend: it is printed without a stack, with its hint. Anything else that is thrown is
 * taken for a bug. Recognised by its brand, never by `instanceof`, so that a plugin's own copy of simmerkit may throw it.
 */
export class UserError extends Error {
  readonly isSimmerUserError = true;
  readonly code: string;
  readonly kind: ErrorKind;
  readonly hint: string | undefined;
  readonly problems: readonly Problem[];

  /** @param code stable, snake_case */
  constructor(code: string, message: string, options: UserErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UserError';
    this.code = code;
    this.kind = options.kind ?? 'usage';
    this.hint = options.hint;
    this.problems = options.problems ?? [];
  }
}

export function isUserError(error: unknown): error is UserError {
  return error instanceof Error && (error as Partial<UserError>).isSimmerUserError === true;
}

/** The error as it goes to events and disk. */
export function toErrorRecord(error: unknown): ErrorRecord {
  if (isUserError(error)) {
    return {
      code: error.code,
      kind: error.kind,
      message: cutLongText(error.message),
      ...(error.hint === undefined ? {} : { hint: cutLongText(String(error.hint)) }),
      ...(error.problems.length === 0 ? {} : { problems: error.problems }),
    };
  }
  const bug = error instanceof Error ? error : new Error(String(error));
  const stack = bug.stack === undefined ? {} : { stack: cutLongText(bug.stack) };
  return { code: 'bug', message: cutLongText(bug.message), ...stack };
}
