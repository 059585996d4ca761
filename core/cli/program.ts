import { type Argument, Command, CommanderError, Help } from 'commander';
import { exitCodes } from '../errors.js';
import { simmerPackage } from '../plugin/locate.js';
import { blameOwner } from '../plugin/stray-errors.js';
import { addAuthorCommands } from './author-commands.js';
import type { ActionOptions, CommandAction, CommandWork } from './command-action.js';
import { exitCodesHelp, fittedHelp } from './help-layout.js';
import { forbidExit, leave } from './leave.js';
import { refuseServer } from './open-workspace.js';
import {
  collect,
  dataOption,
  homeOption,
  keptOption,
  paramOption,
  positions,
  pythonOption,
  runArgument,
  setOption,
  untilOption,
} from './option-values.js';
import { addRunCommands } from './run-commands.js';
import { noteCall, withCall } from './simmer-call.js';
import { hasColor, keepStdoutForResults, showWarnings, watchOutput } from './terminal.js';
import { requireWorkingFolder } from './working-folder.js';
import type { WorkspaceFlags } from './workspace.js';

/** Runs the command line and ends the process. */
export async function main(argv: readonly string[]): Promise<never> {
  watchOutput();
  showWarnings();
  forbidExit();
  // What comes after -- belongs to another program.
  const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  const json = own.includes('--json');
  if (json) keepStdoutForResults();
  // A plugin's forgotten promise fails its stage, not the process and every run in it.
  process.on('uncaughtException', (error) => void (blameOwner(error) || fail(error, false)));
  noteCall({});
  const { program, exitCode } = buildProgram();
  if (argv.length === 0) {
    program.outputHelp();
    return await end(exitCodes.ok);
  }
  try {
    await program.parseAsync(argv as string[], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return await end(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
    // The stdout of those that stream events holds events and nothing else.
    const streams = ['run', 'resume', 'watch'].includes(commandName(argv));
    return await fail(error, json && !streams);
  }
  return await end(exitCode());
}

/** The command line; it parses and runs. */
export function buildProgram(): { readonly program: Command; exitCode(): number } {
  let code: number = exitCodes.ok;
  const program = new Command('simmer');

  /** The action of a command: its arguments, then its options, as commander gives them. */
  const action: CommandAction =
    <Arguments extends readonly unknown[]>(load: CommandWork<Arguments>, { hasNoServer = false }: ActionOptions = {}) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const { home, server } = program.opts<WorkspaceFlags>();
      if (hasNoServer) refuseServer(pathOf(command), server);
      // The program takes it before the command; what has no home must not ignore it.
      if (home !== undefined && !command.options.some(({ long }) => long === '--home')) {
        command.error("error: unknown option '--home'");
      }
      requireWorkingFolder();
      const flags = command.optsWithGlobals<WorkspaceFlags>();
      noteCall(flags);
      const work = await load();
      // Commander adds the command itself at the end, and before it the options without those of the program.
      code = await work(...([...given.slice(0, -2), flags] as unknown as Arguments));
    };

  program
    .description(
      'Turns one recipe file into a fine-tuned reasoning model and the proof of what it can do: ' +
        'curate data, fine-tune, force the thinking budget, evaluate.',
    )
    .usage('COMMAND [options]')
    .version(simmerPackage.version, '-V, --version', 'print the version')
    .option(
      '--server <address>',
      'let this server do the work: unix:PATH or HOST:PORT (or SIMMER_SERVER; see docs/clients.md)',
    )
    .option('--server-token-file <file>', 'a file with its token (or SIMMER_SERVER_TOKEN)')
    .addOption(homeOption())
    .helpOption('-h, --help', 'print this help')
    // Of the groups, which have it from the program; the program's own goes further than one word, and is below.
    .addHelpCommand(new Command('help').argument('[command]').description('print what a command does'))
    .helpCommand(false)
    .commandsGroup('Run a recipe:')
    .showHelpAfterError(withCall('hint: `simmer help COMMAND` says what a command takes'))
    .exitOverride()
    .configureOutput({
      writeOut: (text) => process.stdout.write(fittedHelp(text, process.stdout)),
      writeErr: (text) => process.stderr.write(fittedHelp(text, process.stderr)),
      getOutHasColors: () => hasColor(process.stdout),
      getErrHasColors: () => hasColor(process.stderr),
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'error[usage]: '));
      },
    })
    .configureHelp({
      styleTitle: (title) => `\u001b[1m${title}\u001b[22m`,
      optionDescription: (option) =>
        isEmpty(option.defaultValue) ? option.description : new Help().optionDescription(option),
      subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(' '),
    });

  program
    .command('run')
    .summary('run a recipe; what was made before is not made again')
    .description(
      'Runs a recipe from end to end and shows how it goes. A stage whose code, options and inputs have not changed is ' +
        'taken from the cache. Ctrl-C stops the run, keeps what is done, and says how to go on.',
    )
    .argument(
      '[recipe]',
      'a recipe file, or the name of a recipe of a server; without one, in a folder that has none, the quickstart that ' +
        'comes with Simmer',
    )
    .addOption(paramOption())
    .addOption(setOption())
    .addOption(untilOption())
    .addOption(homeOption())
    .addOption(dataOption())
    .addOption(pythonOption())
    .option('--json', 'events on stdout, one JSON object a line, and nothing else there')
    .addHelpText(
      'after',
      `
Examples:
  simmer run                                  the quickstart
  simmer run recipes/s1.yaml -p selected=500  with another value of a param
  simmer run my.yaml --set stages.tuned.with.learningRate=2e-5
  simmer run recipes/s1.yaml --until unique   only what needs no GPU
  simmer run my.yaml --json | jq -c 'select(.type == "metric.measured") | .data'
  simmer run my.yaml --json | tail -1         the last event: it has all metrics`,
    )
    .action(action(async () => (await import('./commands/run.js')).run));

  program
    .command('resume')
    .summary('go on with a run that was stopped, was killed or failed')
    .description(
      'Goes on with a run where it ended. Stages that are done do not run again. A trainer that still runs goes on; one ' +
        'that died is started again from its last checkpoint.',
    )
    .addArgument(runArgument())
    .addOption(setOption('change a limit: budget.usd, budget.gpuHours or budget.wallClock; null takes it away'))
    .addOption(keptOption(paramOption()))
    .addOption(keptOption(untilOption()))
    .addOption(homeOption())
    .addOption(pythonOption())
    .option('--json', 'new events on stdout, one JSON object a line, and nothing else there')
    .addHelpText('after', '\nExamples:\n  simmer resume latest\n  simmer resume quickstart-2026 --set budget.usd=20')
    .action(action(async () => (await import('./commands/resume.js')).resume));

  program.commandsGroup('Before a run:');
  program
    .command('validate')
    .summary('check a recipe and list everything that is wrong with it')
    .description('Checks a recipe without running it. Every problem is listed at once, with its line and column.')
    .argument('<recipe>', 'a recipe file')
    .addOption(paramOption())
    .addOption(setOption())
    .addOption(untilOption())
    .addOption(homeOption())
    .addOption(dataOption())
    .addOption(pythonOption())
    .option('--json', 'the result as JSON')
    .addHelpText('after', '\nExample:\n  simmer validate my.yaml -p model=small')
    .action(action(async () => (await import('./commands/validate.js')).validate));

  program
    .command('plan')
    .summary('show what a run would do, and what it would take from the cache')
    .description(
      'Shows the stages in the order in which they would run, what each uses and needs, and whether the cache has it ' +
        '("unknown" until its inputs exist). Estimates what training and generation take: time, dollars, and the memory ' +
        'of a GPU part by part, with what to change if it does not fit. docs/estimates.md says how.',
    )
    .argument('[recipe]', 'a recipe file')
    .option('--calibration', 'instead of a plan, published runs beside what the estimates say of them')
    .addOption(paramOption())
    .addOption(setOption())
    .addOption(untilOption())
    .addOption(homeOption())
    .addOption(dataOption())
    .addOption(pythonOption())
    .option('--json', 'the plan and what the cache has, as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer plan recipes/s1.yaml\n  simmer plan my.yaml --json | jq .plan.stages[].name',
    )
    .action(action(async () => (await import('./commands/plan.js')).plan));

  program
    .command('inspect')
    .summary('show which tokens a training stage would train')
    .description(
      'Runs what the training stage needs, up to its dataset, and shows rows as the trainer will see them. Trained tokens ' +
        'are coloured; without colour they stand between ⟦ and ⟧. Nothing is trained. `simmer runs` lists this run, but ' +
        '"latest" stays the run before it.',
    )
    .argument('<recipe>', 'a recipe file')
    .requiredOption('--stage <name>', 'a training stage of the recipe, e.g. tuned')
    .option('--rows <positions>', 'which rows of its dataset; the first is 0', positions, [0, 1, 2])
    .addOption(paramOption())
    .addOption(setOption())
    .addOption(homeOption())
    .addOption(dataOption())
    .addOption(pythonOption())
    .option('--json', 'the rows as JSON: token ids, tokens, which are trained')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer inspect recipes/tiny.yaml --stage tuned\n  simmer inspect my.yaml --stage tuned --rows 0,17,400',
    )
    .action(action(async () => (await import('./commands/inspect.js')).inspect));

  program
    .command('doctor')
    .summary('check the machine: Python, DuckDB, disk, memory, GPUs, plugins')
    .description('Checks what runs need of this machine, and says what to do about what is missing.')
    .addOption(homeOption())
    .option('--python <path>', 'a Python to check instead of the one that is found')
    .option('--json', 'the checks as JSON')
    .action(action(async () => (await import('./commands/doctor.js')).doctor));

  addRunCommands(program, action);

  program.commandsGroup('Serve:');
  program
    .command('serve')
    .summary('run the recipes of others on this machine')
    .description(
      'Runs the recipes of clients until it is stopped. Runs wait in a queue for the machine, and go on after a crash ' +
        'or a restart. By default it listens on a unix socket in the home, which only you may enter. docs/serving.md ' +
        'says how to run it as a service, docs/clients.md how clients reach it, SECURITY.md what it trusts.',
    )
    .option('--listen <address>', 'unix:PATH or HOST:PORT; TCP needs a token, and TLS unless HOST is this machine')
    .option('--token-file <file>', 'a file with the tokens that clients may give, one a line (or SIMMER_SERVER_TOKEN)')
    .option('--tls-cert <file>', 'PEM file of the certificate')
    .option('--tls-key <file>', 'PEM file of its key')
    .option('--tls-client-ca <file>', 'PEM file of an authority: only clients with its certificates may connect')
    .option('--allow-root <folder>', "a folder whose files clients' recipes may name; may be given again", collect, [])
    .option('--allow-plugin <name>', "an npm package that clients' recipes may list; may be given again", collect, [])
    .option(
      '--allow-option <option>',
      "PLUGIN/NAME.OPTION: an option that runs or loads code, and that clients' recipes may give; may be given again",
      collect,
      [],
    )
    .option(
      '--allow-secret <name>',
      "NAME or NAME=URL: an environment variable that clients' recipes may send anywhere, or below that URL; may be given again",
      collect,
      [],
    )
    .option('--recipes <folder>', 'a folder of recipes that clients may run by name; may be given again', collect, [])
    .addOption(homeOption())
    .addOption(dataOption())
    .addOption(pythonOption())
    .option('--json', 'the address as JSON, on one line')
    .addHelpText('after', '\nExamples:\n  simmer serve\n  simmer serve --listen 127.0.0.1:7070 --token-file token')
    .action(action(async () => (await import('./commands/serve.js')).serve, { hasNoServer: true }));

  program.commandsGroup('Write recipes:');
  program
    .command('plugins')
    .summary('list stages, trainers, launchers, graders and sinks')
    .description('Lists what a recipe may use, and what each is for. Given the name of one, shows all that it takes.')
    .argument('[recipe]', 'a recipe file, to list its own plugins too; without one, what is installed here is listed')
    .argument(
      '[name]',
      'PLUGIN/NAME, to show with its inputs, outputs and options, or a PLUGIN to list; needs no recipe before it',
    )
    .option('--json', 'the plugins as JSON, with the schemas of their options')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer plugins\n  simmer plugins curation\n  simmer plugins curation/load\n  simmer plugins my.yaml mine/stage',
    )
    .action(action(async () => (await import('./commands/plugins.js')).plugins));

  program
    .command('schema')
    .summary('print the JSON Schema of recipes, for editors')
    .description('Prints the JSON Schema of recipes. With it an editor completes recipes and marks what is wrong.')
    .argument('[recipe]', 'a recipe file, to cover its own plugins too; without one, those that are installed here')
    .option('--json', 'on one line')
    .addHelpText(
      'after',
      `
Example:
  simmer schema > recipe.schema.json
  and as the first line of a recipe:
  # yaml-language-server: $schema=./recipe.schema.json`,
    )
    .action(action(async () => (await import('./commands/schema.js')).schema));

  addAuthorCommands(program, action);

  program.commandsGroup('Help:');
  program
    .command('help')
    .argument('[command...]')
    .description('print what a command does')
    .helpOption(false)
    .action((words: readonly string[]) => commandAt(program, words).help());

  program.addHelpText(
    'after',
    () => `
Examples:
  simmer run                       the quickstart: minutes on a laptop
  simmer plan recipes/s1.yaml      what this recipe would do
  simmer resume latest             go on after Ctrl-C, a crash or a reboot
  simmer run my.yaml --json        for programs: one event a line

${exitCodesHelp()}`,
  );
  return { program, exitCode: () => code };
}

/** The first word that is neither an option of the program nor its value. */
function commandName(argv: readonly string[]): string {
  const takeValues = ['--server', '--server-token-file', '--home'];
  return argv.find((word, index) => !word.startsWith('-') && !takeValues.includes(argv[index - 1] ?? '')) ?? '';
}

/** As it is typed after `simmer`: "plugin new". */
function pathOf(command: Command): string {
  const { parent } = command;
  return parent?.parent ? `${pathOf(parent)} ${command.name()}` : command.name();
}

/** A command by what is typed after `simmer`. */
function commandAt(program: Command, words: readonly string[]): Command {
  return words.reduce((group, word) => {
    const command = group.commands.find((one) => one.name() === word);
    return command ?? group.error(`error: unknown command '${word}'`);
  }, program);
}

/** Of an option that may be given again, and was not: no default to tell of. */
function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function argumentTerm(argument: Argument): string {
  return argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
}

/** Prints the error, to people on stderr and with `--json` to programs on stdout, and ends. */
async function fail(error: unknown, json: boolean): Promise<never> {
  try {
    const { reportError } = await import('./report-error.js');
    return await end(await reportError(error, { json }));
  } catch {
    // Thrown further, it would come here again, for ever.
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return leave(exitCodes.bug);
  }
}

/** Ends the process once everything was written, also where a plugin left something open. */
async function end(code: number): Promise<never> {
  await Promise.all([process.stdout, process.stderr].map(flushed));
  return leave(code);
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0 || stream.destroyed) resolve();
    else stream.write('', () => resolve());
  });
}
