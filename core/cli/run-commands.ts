import { type Command, Option } from 'commander';
import { restingStatuses } from '../engine/past-runs/choose-runs.js';
import type { CommandAction } from './command-action.js';
import { condition, homeOption, positions, sequence } from './option-values.js';

/** The commands for runs that there are. */
export function addRunCommands(program: Command, action: CommandAction): void {
  program.commandsGroup('Look at runs:');
  program
    .command('runs')
    .summary('list the runs')
    .description('Lists the runs that are kept here, newest first, with how they stand.')
    .addOption(homeOption())
    .option('--json', 'the runs as JSON')
    .action(action(async () => (await import('./commands/runs.js')).runs));

  program
    .command('watch')
    .summary('follow a run, from its first event or from a later one')
    .description(
      'Shows a run as `simmer run` does: what has happened, then what happens, until it ends. Stopping to watch does not ' +
        'stop the run. Exits as the run does.',
    )
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .option('--from <sequence>', 'the first event to tell, by its sequence', sequence)
    .addOption(homeOption())
    .option('--json', 'events on stdout, one JSON object a line, and nothing else there')
    .addHelpText('after', '\nExamples:\n  simmer watch latest\n  simmer watch latest --from 1200 --json')
    .action(action(async () => (await import('./commands/watch.js')).watch));

  program
    .command('cancel')
    .summary('stop a run that another terminal or a server runs')
    .description(
      'Stops a run as Ctrl-C does where it was started, or takes it out of the queue of a server; waits until it has ' +
        'stopped. What is paid for is kept, and `simmer resume` goes on. A run that has ended is left as it is.',
    )
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .addOption(homeOption())
    .option('--now', 'wait for no replies of paid servers that are under way: they are billed, and asked for again')
    .option('--json', 'how the run stands then, as JSON')
    .addHelpText('after', '\nExamples:\n  simmer cancel latest\n  simmer --server host:7070 cancel quickstart-2026')
    .action(action(async () => (await import('./commands/cancel.js')).cancel));

  program
    .command('report')
    .summary('write the report of a run again')
    .description("Writes report.html from the run's events and prints where it is.")
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .option('--output <file>', 'copy it there, also from the machine of a server')
    .addOption(homeOption())
    .option('--json', 'the path as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  xdg-open "$(simmer report latest)"\n  simmer --server host:7070 report latest --output report.html',
    )
    .action(action(async () => (await import('./commands/report.js')).report));

  program
    .command('compare')
    .summary('set runs side by side: what differs, and what came of it')
    .description(
      'Shows in which params and options runs differ, and the losses and accuracies of each. What has the value ' +
        'of a param is not named beside it.',
    )
    .argument('<runs...>', 'runs: the name of their recipe, their ids, the beginnings of them, or "latest"')
    .option(
      '--over <path>',
      'put runs together that differ in this alone, with means and standard deviations: a seed, mostly',
    )
    .option('--metrics <pattern>', 'the metrics to show in place of accuracies, by their names; * is any text')
    .addOption(homeOption())
    .option('--json', 'each run, or group of runs, with all its metrics as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  simmer compare quickstart\n  simmer compare quickstart --metrics 'tuned.thinking-tokens*'\n  simmer compare sweep --over stages.tuned.seed",
    )
    .action(action(async () => (await import('./commands/compare.js')).compare));

  program
    .command('artifacts')
    .summary('list what a run has made, and fetch it')
    .description(
      'Lists the outputs of the stages that are done: datasets, models, generations, reports. With --get copies the files ' +
        'of one, also from the machine of a server. The copy is there whole or not at all; where it broke off, the same ' +
        'command goes on.',
    )
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .option('--get <stage.output>', 'copy the files of this output')
    .option('--output <folder>', 'the folder to make of them (default: one of the name of the output)')
    .option('--verify', 'read all files, and say which have another SHA-256 than the one with which they were written')
    .addOption(homeOption())
    .option('--json', 'the outputs with their files, sizes and SHA-256 as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer artifacts latest\n  simmer --server host:7070 artifacts latest --get tuned.model --output ./tuned',
    )
    .action(action(async () => (await import('./commands/artifacts.js')).artifacts));

  program
    .command('rows')
    .summary('show rows of what a run has made')
    .description(
      'Shows rows of a dataset, of generations or of graded answers, column by column; `simmer artifacts` lists them. Long ' +
        'texts are cut, and --json has all of them.',
    )
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .argument('<stage.output>', 'which output, e.g. pool.dataset')
    .option('--rows <positions>', 'which of its rows, from 0', positions, [0, 1, 2])
    .option(
      '--where <column=pattern>',
      'only rows whose column fits, and --rows counts them; * is any text; may be given again',
      condition,
      [],
    )
    .addOption(homeOption())
    .option('--json', 'the rows as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  simmer rows latest pool.dataset\n  simmer rows latest tuned-graded.graded --rows 0,17 --json\n  simmer rows latest pool.decisions --where rule=no_answer --where 'evidence=*train.csv*'",
    )
    .action(action(async () => (await import('./commands/rows.js')).rows));

  program
    .command('explain')
    .summary('say what became of one row of the data, and why')
    .description(
      'Follows one row through the stages of a run: which stage dropped it, by which rule and on what evidence, or why it ' +
        'was chosen; what models answered to it.',
    )
    .argument('<run>', 'a run: its id, the beginning of it, or "latest"')
    .argument('<row>', 'the id of a row, or the beginning of it, or words of its question, as "day 561"')
    .addOption(homeOption())
    .option('--json', 'the history as JSON')
    .addHelpText('after', '\nExample:\n  simmer explain latest 4f1c22ab90d1e3c7')
    .action(action(async () => (await import('./commands/explain.js')).explain));

  program
    .command('remove')
    .summary('remove runs, and what no other run has made')
    .description(
      'Removes runs with their logs and reports, the artifacts that no other run has made or reused, and what only they ' +
        'and their stages kept: to go on from, and replies that were paid for. Stages whose artifacts are gone run again where they are ' +
        'asked for again. ' +
        'A server does it beside runs that go on; here nothing may run meanwhile. ' +
        'Runs are named, or chosen by how they stand, their recipe and their age: those that are all of it, and not under way.',
    )
    .argument('[runs...]', 'runs: their ids, the beginnings of them, or "latest"')
    .option(
      '--older-than <time>',
      'those that ended (or had their last event, where they have no end) so long ago: 30d, 12h',
    )
    .addOption(new Option('--status <status...>', 'those that stand so').choices(restingStatuses))
    .option('--recipe <name>', 'those of this recipe')
    .option('--dry-run', 'only say what would go')
    .addOption(homeOption())
    .option('--json', 'what went as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer remove latest --dry-run\n  simmer remove quickstart-20260101\n  simmer remove --older-than 30d --status failed crashed --dry-run\n  simmer --server host:7070 remove --older-than 30d',
    )
    .action(action(async () => (await import('./commands/remove.js')).remove));

  const evaluation = program
    .command('eval')
    .summary('compare evaluations, and measure figures from anywhere: diff, metrics')
    .description('Compares the evaluations of two runs, and computes measures of figures from anywhere.');
  evaluation
    .command('diff')
    .summary('the items whose verdict changed from one run to another')
    .description(
      'Lists, for each model and point of the sweep that both runs graded, the items that became right or wrong, with the ' +
        'answers that were read. Models are matched by their label.',
    )
    .argument('<before>', 'a run: its id, the beginning of it, or "latest"')
    .argument('<after>', 'the run to compare it with')
    .option('--items <count>', 'how many items to show of each point', sequence, 20)
    .addOption(homeOption())
    .option('--json', 'every changed item as JSON, with both answers')
    .addHelpText('after', '\nExample:\n  simmer eval diff quickstart-20260101 latest')
    .action(action(async () => (await import('./commands/eval-diff.js')).evalDiff));
  evaluation
    .command('metrics')
    .summary("s1's Control, Scaling and Performance of a list of runs")
    .description(
      'Computes Control (share of runs that keep their limits, in percent), Scaling (mean slope of accuracy in percentage ' +
        'points over thinking tokens, raw and per doubling) and Performance (best accuracy, in percent) from a list of ' +
        '{thinkingTokens, accuracy, controlled?, min?, max?}. Accuracy is in percent, or a share where none is above 1. ' +
        '`controlled` is held against min and max where it is not the thinking tokens.',
    )
    .argument('<file>', 'JSON, or CSV with these columns')
    .option('--json', 'control, performance, scalingRaw and scalingLog2 as JSON')
    .addHelpText('after', '\nExample:\n  simmer eval metrics runs.csv --json | jq .scalingLog2')
    .action(action(async () => (await import('./commands/eval-metrics.js')).evalMetrics, { hasNoServer: true }));
}
