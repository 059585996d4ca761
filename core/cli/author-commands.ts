import { type Command, Option } from 'commander';
import type { CommandAction } from './command-action.js';
import { collect, sequence } from './option-values.js';

/** The commands for who writes plugins and trainers. */
export function addAuthorCommands(program: Command, action: CommandAction): void {
  program.commandsGroup('Write plugins and trainers:');
  const plugin = program
    .command('plugin')
    .summary('make a plugin of your own, and hold it against the contract: new, verify')
    .description('For authors of plugins; docs/writing-a-plugin.md has the rest.');
  plugin
    .command('new')
    .summary('make a plugin that works, to go on from')
    .description(
      'Makes a folder with a plugin of one stage, grader or sink: its schema, a test, and a recipe that runs it.',
    )
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
    .summary('try every clause of simmer.plugin.v1 on a plugin of any language')
    .description(
      'Starts a plugin as the host does, several times over, and tries each clause of the contract on it: handshake, ' +
        'versions, what it says of itself, stages, cancellation, health, graders, sinks, its end. Stages are run with ' +
        'options and inputs that are made up to fit. Exits with 4 where a check fails.',
    )
    .argument('<plugin...>', 'a folder with a simmer-plugin.yaml; or after -- a program and its arguments')
    .option('--only <check>', 'only this check; may be given again', collect, [])
    .option('--patience <seconds>', 'how long whatever has no limit of its own may take', sequence, 30)
    .option('--python <path>', "a Python to use as it is, instead of Simmer's own environments")
    .option('--json', 'the results as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer plugin verify ./difficulty\n  simmer plugin verify --only cancel -- ./my-plugin --quiet',
    )
    .action(action(async () => (await import('./commands/plugin-verify.js')).pluginVerify, { hasNoServer: true }));

  program
    .command('trainer')
    .summary('hold a trainer against the contract: verify')
    .description('For authors of trainers; docs/writing-a-trainer.md has the contract.')
    .command('verify')
    .summary('try every clause of simmer.trainer.v1 on a trainer of any language')
    .description(
      'Starts a trainer as a launcher does, several times over, kills it, and tries each clause of the contract on it: ' +
        'handshake, events, watching from any number, leases, cancellation, kill and resume, stale attempts, bad input, ' +
        'generation. What it does not declare must answer UNIMPLEMENTED. Exits with 4 where a check fails.',
    )
    .argument('<command...>', 'the program of the trainer and its arguments, after --')
    .option('--only <check>', 'only this check; may be given again', collect, [])
    .option('--model <path>', 'a Hugging Face folder or GGUF file to train, instead of a small random model')
    .option('--patience <seconds>', 'how long whatever has no limit of its own may take', sequence, 120)
    .option('--json', 'the results as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer trainer verify -- python my_trainer.py\n' +
        '  simmer trainer verify --only resume --only determinism -- ./my-trainer --quiet',
    )
    .action(action(async () => (await import('./commands/trainer-verify.js')).trainerVerify, { hasNoServer: true }));
}
