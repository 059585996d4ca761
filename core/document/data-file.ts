import { constants, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError } from '../errors.js';
import { isMissing } from '../files/unless-missing.js';
import { simmerPackage } from '../plugin/locate.js';

/** Recipes and settings are written by hand: a file beyond this is something else. */
const sizeLimit = 1024 * 1024;

/**
 * Reads a file that a person wrote. Its size and kind are looked at before its content.
 *
 * @param what what the file is to be, for messages: "recipe"
 * @throws UserError `file_missing`, `not_a_file`, `file_too_large`, `not_readable`, `not_utf8`
 */
export async function readDataFile(file: string, what: string): Promise<string> {
  const bytes = await readBytes(file, what);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const line = firstBadLine(bytes);
    throw new UserError('not_utf8', `${file}:${line}: this line is not UTF-8 text.`, {
      hint: 'Save the file as UTF-8.',
      problems: [{ code: 'not_utf8', message: 'This line is not UTF-8 text.', position: { file, line, column: 1 } }],
    });
  }
}

async function readBytes(file: string, what: string): Promise<Buffer> {
  try {
    // Non-blocking, so that a pipe without a writer is seen to be one instead of being waited for.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) {
      throw new UserError(
        'not_a_file',
        `${file} is a ${stats.isDirectory() ? 'folder' : 'device or pipe'}, not a ${what}.`,
        {
          hint: `Name the file of the ${what}.`,
        },
      );
    }
    if (stats.size > sizeLimit) {
      const megabytes = (stats.size / sizeLimit).toFixed(1);
      throw new UserError('file_too_large', `${file} has ${megabytes} MiB; a ${what} has at most 1 MiB.`, {
        hint: 'Data belongs in files that the recipe names, not in the recipe.',
      });
    }
    return await handle.readFile();
  } catch (error) {
    if (isMissing(error)) {
      throw new UserError('file_missing', `There is no ${what} ${file}.`, {
        hint: builtInHint(file) ?? 'Paths on the command line are relative to the folder that you are in.',
      });
    }
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM' || code === 'ELOOP' || code === 'ENAMETOOLONG' || code === 'ENXIO') {
      throw new UserError('not_readable', `The ${what} ${file} cannot be read: ${(error as Error).message}.`, {
        hint: 'Check its name and its permissions.',
      });
    }
    throw error;
  }
}

/** Help and documentation name recipes as they stand in a checkout. */
function builtInHint(file: string): string | undefined {
  const builtIn = join(simmerPackage.root, 'recipes', basename(file));
  return existsSync(builtIn) ? `It comes with Simmer: name it ${builtIn}, or copy it here.` : undefined;
}

function firstBadLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
  }
  return line;
}
