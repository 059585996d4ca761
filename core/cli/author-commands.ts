import { type Command, Option } from 'commander';
import type { CommandAction } from './command-action.js';
import { collect, pythonOption, sequence } from './option-values.js';

/** The commands for who writes plugins and trainers. */
export function addAuthorCommands(program: Command, action: CommandAction): void {
  program.commandsGroup('Write plugins and trainers:');
  const plugin = program
    .command('plugin')
    .summary('new: make a plugin of your own; verify: check one')
    .description('For authors of plugins: see docs/writing-a-plugin.md.');
  plugin
    .command('new')
    .summary('make a plugin that works, for you to change')
    .description('Makes a folder with a plugin of one stage, grader or sink, a test of it, and a recipe that uses it.')
    .argument('<name>', 'its name: lower-case words with "-" between them')
    .addOption(
      new Option('--language <language>', 'what it is written in')
        .choices(['typescript', 'python'])
        .default('typescript'),
    )
    .addOption(new Option('--kind <kind>', 'what it has').choices(['stage', 'grader', 'sink']).default('stage'))
    .option('--folder <folder>', 'where to make it (default: a folder of its name)')
    .option('--json', 'the files as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer plugin new short-questions\n  simmer plugin new --language python short-questions\n' +
        '  simmer plugin new --kind sink stage-times\n  simmer plugin new --language python --kind grader close-enough',
    )
    .action(action(async () => (await import('./commands/plugin-new.js')).pluginNew, { hasNoServer: true }));
  plugin
    .command('verify')
    .summary('check a plugin that is a process, in any language')
    .description(
      'Starts a plugin several times, as Simmer does, and tries each clause of simmer.plugin.v1 on it: handshake, ' +
        'versions, what it says of itself, stages, cancellation, health, graders, sinks, its end. Options and inputs of ' +
        'stages are made up. Exits with 4 if a check fails.',
    )
    .argument('<plugin...>', 'a folder with a simmer-plugin.yaml, or after -- a program and its arguments')
    .option('--only <check>', 'only this check; may be given again', collect, [])
    .option('--patience <seconds>', 'longest wait for what has no limit of its own', sequence, 30)
    .addOption(pythonOption())
    .option('--json', 'the results as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer plugin verify ./difficulty\n  simmer plugin verify --only cancel -- ./my-plugin --quiet',
    )
    .action(action(async () => (await import('./commands/plugin-verify.js')).pluginVerify, { hasNoServer: true }));

  program
    .command('trainer')
    .summary('verify: check a trainer')
    .description('For authors of trainers: see docs/writing-a-trainer.md.')
    .command('verify')
    .summary('check a trainer, in any language')
    .description(
      'Starts a trainer several times, as a launcher does, kills it, and tries each clause of simmer.trainer.v1 on it: ' +
        'handshake, events, watching from any number, leases, cancellation, kill and resume, stale attempts, bad input, ' +
        'generation. Calls that it does not declare must answer UNIMPLEMENTED. Exits with 4 if a check fails.',
    )
    .argument('<command...>', 'after --, the program of the trainer and its arguments')
    .option('--only <check>', 'only this check; may be given again', collect, [])
    .option('--model <path>', 'a Hugging Face folder or GGUF file to train, instead of a small random model')
    .option('--patience <seconds>', 'longest wait for what has no limit of its own', sequence, 120)
    .option('--json', 'the results as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer trainer verify -- python my_trainer.py\n' +
        '  simmer trainer verify --only resume --only determinism -- ./my-trainer',
    )
    .action(action(async () => (await import('./commands/trainer-verify.js')).trainerVerify, { hasNoServer: true }));
}
