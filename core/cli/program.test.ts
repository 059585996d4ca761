import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { glob } from 'tinyglobby';
import { describe, expect, it } from 'vitest';
import { simmerPackage } from '../plugin/locate.js';
import { parseRecipe } from '../recipe/load-recipe.js';
import { buildProgram } from './program.js';

/** Every command, those with commands of their own too. */
function commandsOf(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

function helpOf(command: Command): string {
  let help = '';
  const writeOut = (text: string) => {
    help += text;
  };
  command.configureOutput({ writeOut, getOutHasColors: () => false });
  command.outputHelp();
  return help;
}

/** What the command line prints for words that ask for help. */
async function printedFor(words: readonly string[]): Promise<string> {
  const { program } = buildProgram();
  let printed = '';
  const writeOut = (text: string) => {
    printed += text;
  };
  for (const command of commandsOf(program)) command.configureOutput({ writeOut, getOutHasColors: () => false });
  await expect(program.parseAsync([...words], { from: 'user' })).rejects.toMatchObject({ exitCode: 0 });
  return printed;
}

/** The words that name each command that does something, of a group too. */
function pathsOf(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  if (command.commands.length === 0) return command.name() === 'help' ? [] : [path];
  return command.commands.flatMap((one) => pathsOf(one, [...path, one.name()]));
}

/** What is typed in the lines that show a command, without a pipe behind it or a remark beside it. */
function examplesIn(text: string): readonly string[] {
  const typed = [...text.matchAll(/(?:^|[\s(`])simmer ((?:[^\s|>)`;]+ ?)+)/gm)];
  return typed.map(([, words]) => words!.trim());
}

/** Parses as the command line does, and gives what a command is called with instead of calling it. */
async function parsed(words: readonly string[]) {
  const { program } = buildProgram();
  let called: { readonly file: unknown; readonly options: Readonly<Record<string, unknown>> } | undefined;
  for (const command of commandsOf(program)) {
    command.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
    if (command.commands.length > 0) continue;
    command.action((...given: unknown[]) => {
      called = { file: given[0], options: command.opts() };
    });
  }
  await program.parseAsync([...words], { from: 'user' });
  return called!;
}

/** The params, paths and stages of a recipe that a command line names and that are not in it. */
function missingIn(recipe: string, options: Readonly<Record<string, unknown>>): readonly string[] {
  const params = (options.param ?? {}) as Record<string, string>;
  const overrides = (options.set ?? {}) as Record<string, string>;
  const text = readFileSync(join(simmerPackage.root, recipe), 'utf8');
  const { document, overridden } = parseRecipe(recipe, text, { params, overrides });
  const { params: known = {}, stages } = document.value as Record<'params' | 'stages', object>;
  return [
    ...Object.keys(params).filter((name) => !Object.hasOwn(known, name)),
    ...[options.until, options.stage]
      .filter((name) => typeof name === 'string' && !Object.hasOwn(stages, name))
      .map(String),
    ...overridden.problems.map(({ message }) => message),
  ];
}

async function expectToHold(example: string): Promise<void> {
  const { file, options } = await parsed(example.split(' '));
  if (typeof file === 'string' && file.startsWith('recipes/')) expect(missingIn(file, options), example).toEqual([]);
}

it.each(['run', 'plan', 'validate', 'inspect'])('%s takes the places that a recipe is read with', (name) => {
  const command = buildProgram().program.commands.find((one) => one.name() === name);
  expect(command?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(['--home', '--data', '--python']));
});

it('the help tells of no default where nothing is given', () => {
  const helps = commandsOf(buildProgram().program).map(helpOf).join('\n');
  expect(helps).toMatch(/\(default:\s+120\)/);
  expect(helps).not.toMatch(/\(default:\s+(none|\[\]|\{\})\)/);
});

it('the help fits a terminal of 80 columns', () => {
  for (const command of commandsOf(buildProgram().program)) {
    const wide = helpOf(command)
      .split('\n')
      .filter((line) => line.length > 80);
    expect([command.name(), wide]).toEqual([command.name(), []]);
  }
});

it.each(pathsOf(buildProgram().program).map((path) => [path.join(' '), path] as const))(
  'help %s says what it does and takes, as its --help does',
  async (name, path) => {
    const help = await printedFor(['help', ...path]);
    expect(help).toContain(`Usage: simmer ${name} `);
    expect(help).toContain('--json');
    expect(help).toEqual(await printedFor([...path, '--help']));
  },
);

describe('an example', () => {
  const shown = commandsOf(buildProgram().program)
    .filter((command) => helpOf(command).includes('Example'))
    .map((command) => [command.name(), examplesIn(helpOf(command).split(/^(?:Examples?|Exit codes):$/m)[1]!)] as const);

  it.each(shown)('in the help of %s can be typed, and names what its recipe has', async (_, examples) => {
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) await expectToHold(example);
  });

  it('of the documents can be typed, and names what its recipe has', async () => {
    const { root } = simmerPackage;
    const files = await glob(['*.md', 'docs/*.md', 'plugins/*/README.md', 'recipes/*.yaml'], { cwd: root });
    const known = buildProgram().program.commands.map((command) => command.name());
    const examples = files
      .flatMap((file) => examplesIn(readFileSync(join(root, file), 'utf8').replaceAll('\\\n', '')))
      // Of a command that is only mentioned, nothing but its name is there.
      .filter((example) => example.includes(' ') && known.includes(example.split(' ')[0]!))
      .filter((example) => !['plugin new', 'plugin verify', 'cancel --now'].includes(example));
    expect(examples.length).toBeGreaterThan(80);
    for (const example of examples) await expectToHold(example);
  });
});
