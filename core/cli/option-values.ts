import { Argument, InvalidArgumentError, Option } from 'commander';
import type { Condition } from './commands/rows.js';

export function paramOption(): Option {
  return new Option('-p, --param <name=value>', "set one of the recipe's params; may be given again")
    .default({})
    .argParser(assignment);
}

export function untilOption(): Option {
  return new Option('--until <stage>', 'only this stage and what it needs; a whole run later reuses what they made');
}

export function homeOption(): Option {
  return new Option('--home <folder>', 'where runs and artifacts are kept (or SIMMER_HOME; default .simmer)');
}

export function dataOption(): Option {
  return new Option('--data <folder>', 'where files of benchmark questions are (or SIMMER_DATA)');
}

export function pythonOption(): Option {
  return new Option(
    '--python <path>',
    "a Python of yours to use, instead of Simmer's own environments (or SIMMER_PYTHON)",
  );
}

export function runArgument(name = 'run'): Argument {
  return new Argument(`<${name}>`, 'a run: its id, the beginning of it, or "latest"');
}

export function setOption(what = 'set any value of the recipe, by its dotted path; may be given again'): Option {
  return new Option('--set <path=value>', what).default({}).argParser(assignment);
}

/** An option of `run` that a run which goes on cannot be given. */
export function keptOption(option: Option): Option {
  return option
    .default(undefined)
    .hideHelp()
    .argParser((): never => {
      throw new InvalidArgumentError(
        'A run that was begun keeps its recipe, but for its budget (--set budget.usd=20). To change anything else, use ' +
          '`simmer run` again: what its stages made is reused.',
      );
    });
}

function assignment(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const [name, value] = nameAndValue(text);
  return { ...before, [name]: value };
}

function nameAndValue(text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError(`It must read NAME=VALUE.`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

export function condition(text: string, before: readonly Condition[]): readonly Condition[] {
  const [column, pattern] = nameAndValue(text);
  return [...before, { column, pattern }];
}

export function positions(text: string): readonly number[] {
  const rows = text.split(',').map(Number);
  if (!rows.every((row) => Number.isSafeInteger(row) && row >= 0)) {
    throw new InvalidArgumentError('It must be whole numbers from 0, with commas between them.');
  }
  return rows;
}

export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

export function sequence(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1.');
  return value;
}
