import { type ErrorRecord, toErrorRecord } from '../errors.js';
import { redactedRecord, redactedValue, redactor } from '../events/redaction.js';
import { systemError } from '../files/system-error.js';
import { simmerPackage } from '../plugin/locate.js';
import { errorLines, exitCodeOf } from './print-error.js';
import { withCall } from './simmer-call.js';
import { colorsFor, columnsOf, writeJson } from './terminal.js';
import { workingFolder } from './working-folder.js';

/** Tells a command's error and returns the exit code. @param json also as `{"error": …}` on stdout, for programs */
export async function reportError(thrown: unknown, { json }: { readonly json: boolean }): Promise<number> {
  const error = systemError(thrown);
  printErrorRecord(toErrorRecord(error));
  if (json) await writeJson({ error: redactedRecord(error) });
  return exitCodeOf(error);
}

/** Prints an error to stderr. Secrets go before lines are broken, which may break one, and once more from excerpts of files. */
export function printErrorRecord(error: ErrorRecord): void {
  const lines = errorLines(redactedValue(asCalledHere(error)), {
    colors: colorsFor(process.stderr),
    cwd: workingFolder() ?? '/',
    version: simmerPackage.version,
    width: columnsOf(process.stderr),
  });
  process.stderr.write(redactor()(`${lines.join('\n')}\n`));
}

/** Hints name commands. */
function asCalledHere(error: ErrorRecord): ErrorRecord {
  const { problems } = error;
  return { ...hinting(error), ...(problems === undefined ? {} : { problems: problems.map(hinting) }) };
}

function hinting<T extends { readonly hint?: string }>(told: T): T {
  return told.hint === undefined ? told : { ...told, hint: withCall(told.hint) };
}
