import { isUserError, UserError } from '../errors.js';
import { diskError } from './disk-error.js';

/**
 * What an error of the system means to the user where nobody knows more of it: `too_many_open_files`, `not_permitted`,
 * `duckdb_not_loaded`, or what `diskError` says. Any other error is given back as it is.
 */
export function systemError(error: unknown): unknown {
  if (!(error instanceof Error) || isUserError(error)) return error;
  // DuckDB's goes on with its query.
  const said = error.message.split('\n')[0];
  if (saysOneOf(error, ['EMFILE', 'ENFILE'], /Too many open files/)) {
    return new UserError('too_many_open_files', `No more files can be opened: ${said}.`, {
      kind: 'environment',
      hint: 'Allow more of them, then try again: ulimit -n 4096',
      cause: error,
    });
  }
  if (saysOneOf(error, ['EACCES', 'EPERM'], /^IO Error: .*Permission denied/)) {
    return new UserError('not_permitted', `The system does not permit it: ${said}.`, {
      kind: 'environment',
      hint: 'See whose it is and what its permissions are (ls -l), or choose another home with --home.',
      cause: error,
    });
  }
  if (duckdbNotLoaded.test(error.message)) {
    const here = `${process.platform}-${process.arch}`;
    return new UserError(
      'duckdb_not_loaded',
      `DuckDB, which reads and writes tables, is not there for ${here}: ${said}.`,
      {
        kind: 'environment',
        hint:
          'Its package is another one for each platform, and optional to npm. Remove node_modules, then install again on ' +
          'this machine: npm install --include=optional',
        cause: error,
      },
    );
  }
  const { path } = error as NodeJS.ErrnoException;
  return diskError(error, path ?? 'what was to be written');
}

/** Its native part is left out, made for another platform, or wants newer libraries of the system. */
const duckdbNotLoaded =
  /^Cannot find module '@duckdb\/node-bindings|^Error loading duckdb native binding|duckdb\.(?:node|so|dylib)\b/;

/** Node's errors have a code. DuckDB's have none, only the system's words for it. */
function saysOneOf(error: Error, codes: readonly string[], words: RegExp): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? words.test(error.message) : codes.includes(code);
}
