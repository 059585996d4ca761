import { sep } from 'node:path';
import { type ErrorRecord, isUserError, toErrorRecord, UserError } from '../errors.js';
import { diskError } from '../files/disk-error.js';
import { systemError } from '../files/system-error.js';
import { builtInSource } from '../plugin/locate.js';
import { withCause } from '../plugin/thrown-text.js';
import type { Plan, PlannedStage } from '../recipe/plan.js';
import { cutLongText } from '../shortened-text.js';

/** What a plugin threw inside of a stage of another one, such as its grader. */
export class ThrownBy extends Error {
  constructor(
    readonly plugin: string,
    thrown: unknown,
  ) {
    super(String(thrown), { cause: thrown });
  }
}

/**
 * What a stage threw, wrapped once: it names the stage and its plugin, and keeps the cause. A user error keeps its code
 * and its hint; anything else is the plugin's bug, `stage_failed`, and Simmer's where the plugin is built in.
 */
export function stageError(
  stage: PlannedStage,
  thrown: unknown,
  { home, plugins }: { readonly home: string; readonly plugins: Plan['plugins'] },
): UserError {
  const where = `Stage "${stage.name}" (${stage.uses})`;
  const [plugin, inner] = thrown instanceof ThrownBy ? [thrown.plugin, thrown.cause] : [pluginOf(stage.uses), thrown];
  const cause = machineError(inner, home);
  if (isUserError(cause)) {
    return new UserError(cause.code, `${where}: ${cause.message}`, {
      kind: cause.kind === 'environment' ? 'environment' : 'runFailed',
      problems: cause.problems,
      cause,
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    });
  }
  const blame =
    plugins[plugin]?.source === builtInSource
      ? `This is a bug in the plugin "${plugin}" of Simmer: please report it with these lines and what \`simmer doctor\` prints.`
      : `This is an error in the plugin "${plugin}", or in what it was given.`;
  return new UserError(
    'stage_failed',
    `${where} failed: ${cause instanceof Error ? withCause(String(cause), cause) : String(cause)}`,
    {
      kind: 'runFailed',
      hint: blame,
      cause,
    },
  );
}

function pluginOf(uses: string): string {
  return uses.split('/')[0]!;
}

/** The record of a stage's error, with the stack where the plugin has a bug: it is for the plugin's author. */
export function stageErrorRecord(error: UserError): ErrorRecord {
  const record = toErrorRecord(error);
  const cause = error.cause;
  if (error.code !== 'stage_failed' || !(cause instanceof Error) || cause.stack === undefined) return record;
  return { ...record, stack: cutLongText(cause.stack) };
}

/** Codes of `systemError` that are no stage's affair. */
const ofMachine: ReadonlySet<string> = new Set(['too_many_open_files', 'duckdb_not_loaded']);

/** A file that a stage may not read is its affair; the home, and what the machine is short of, are the machine's. */
function machineError(error: unknown, home: string): unknown {
  const told = diskError(error, home);
  if (isUserError(told) && told.code === 'no_disk_space') return told;
  const known = systemError(error);
  if (isUserError(known) && ofMachine.has(known.code)) return known;
  const path: unknown = error instanceof Error ? (error as NodeJS.ErrnoException).path : undefined;
  return typeof path === 'string' && path.startsWith(`${home}${sep}`) ? known : error;
}
