import { type Command, Option } from 'commander';
import { restingStatuses } from '../engine/past-runs/choose-runs.js';
import type { CommandAction } from './command-action.js';
import { condition, homeOption, positions, runArgument, sequence } from './option-values.js';

/** The commands for runs that there are. */
export function addRunCommands(program: Command, action: CommandAction): void {
  program.commandsGroup('Look at runs:');
  program
    .command('runs')
    .summary('list the runs')
    .description('Lists the runs of this home, or of a server, newest first, with their status.')
    .addOption(homeOption())
    .option('--json', 'the runs as JSON')
    .action(action(async () => (await import('./commands/runs.js')).runs));

  program
    .command('watch')
    .summary('follow a run, from its first event or from a later one')
    .description(
      'Shows a run as `simmer run` does, from its beginning until it ends. Ctrl-C ends the watching, not the run. The ' +
        'exit code is that of the run.',
    )
    .addArgument(runArgument())
    .option('--from <sequence>', 'begin with the event of this sequence', sequence)
    .addOption(homeOption())
    .option('--json', 'events on stdout, one JSON object a line, and nothing else there')
    .addHelpText('after', '\nExamples:\n  simmer watch latest\n  simmer watch latest --from 1200 --json')
    .action(action(async () => (await import('./commands/watch.js')).watch));

  program
    .command('cancel')
    .summary('stop a run that another terminal or a server runs')
    .description(
      "Stops a run as Ctrl-C does, or takes it out of a server's queue, and waits until it has stopped. What is paid for " +
        'is kept, and `simmer resume` goes on. A run that has ended is left as it is.',
    )
    .addArgument(runArgument())
    .option('--now', 'do not wait for replies of paid servers: they are billed, and asked for again later')
    .addOption(homeOption())
    .option('--json', 'how the run stands then, as JSON')
    .addHelpText('after', '\nExamples:\n  simmer cancel latest\n  simmer --server host:7070 cancel quickstart-2026')
    .action(action(async () => (await import('./commands/cancel.js')).cancel));

  program
    .command('report')
    .summary('write the report of a run again')
    .description("Writes report.html from the run's events and prints where it is.")
    .addArgument(runArgument())
    .option('--output <file>', 'copy it to this file, also from a server')
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
      'Shows in which params and options runs differ, and the losses and accuracies of each. An option that a param sets ' +
        'is not named beside that param.',
    )
    .argument('<runs...>', 'runs: the name of their recipe, their ids, the beginnings of them, or "latest"')
    .option('--over <path>', 'group runs that differ in nothing else, such as in a seed: means and standard deviations')
    .option('--metrics <pattern>', 'show the metrics of these names instead of accuracies; * is any text')
    .addOption(homeOption())
    .option('--json', 'each run, or group of runs, with all its metrics as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  simmer compare quickstart\n  simmer compare quickstart --metrics 'tuned.thinking-tokens*'\n  simmer compare tiny --over stages.tuned.seed",
    )
    .action(action(async () => (await import('./commands/compare.js')).compare));

  program
    .command('artifacts')
    .summary('list what a run has made, and fetch it')
    .description(
      'Lists the outputs of the stages that are done: datasets, models, generations, reports. --get copies the files of ' +
        'one, also from a server. The copy is there whole or not at all; if it breaks off, the same command goes on.',
    )
    .addArgument(runArgument())
    .option('--get <stage.output>', 'copy the files of this output')
    .option('--output <folder>', 'the new folder for them (default: the name of the output)')
    .option('--verify', 'read all files, and name those whose SHA-256 is not the one they were written with')
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
      'Shows rows of a dataset, of generations or of graded answers, column by column. `simmer artifacts` lists the ' +
        'outputs of a run. Long texts are cut; --json has all of them.',
    )
    .addArgument(runArgument())
    .argument('<stage.output>', 'which output, e.g. pool.dataset')
    .option('--rows <positions>', 'which of its rows; the first is 0', positions, [0, 1, 2])
    .option(
      '--where <column=pattern>',
      'only rows with this value in the column, which --rows then counts; * is any text; may be given again',
      condition,
      [],
    )
    .addOption(homeOption())
    .option('--json', 'the rows as JSON')
    .addHelpText(
      'after',
      "\nExamples:\n  simmer rows latest pool.dataset\n  simmer rows latest tuned-graded.graded --rows 0,17 --json\n  simmer rows latest pool.decisions --where rule=no_answer --where 'id=4f*'",
    )
    .action(action(async () => (await import('./commands/rows.js')).rows));

  program
    .command('explain')
    .summary('say what became of one row of the data, and why')
    .description(
      'Follows one row through the stages of a run: which stage dropped it, by which rule and on what evidence, or why it ' +
        'was chosen, and what models answered to it.',
    )
    .addArgument(runArgument())
    .argument(
      '<row>',
      'the id of a row, the beginning of it, an id of yours in another column, or words of its question, such as "day 561"',
    )
    .addOption(homeOption())
    .option('--json', 'the history as JSON')
    .addHelpText('after', '\nExample:\n  simmer explain latest 4f1c22ab90d1e3c7')
    .action(action(async () => (await import('./commands/explain.js')).explain));

  program
    .command('remove')
    .summary('remove runs, and what no other run uses')
    .description(
      'Removes runs, and what no other run uses: their logs, reports, artifacts, and replies that were paid for. A stage ' +
        'whose artifacts are gone runs again when it is asked for. Name the runs, or choose them by status, recipe and ' +
        'age: those go that fit all of these, but none that waits or runs. A server removes beside runs that go on; ' +
        'without a server, nothing may run in the home meanwhile.',
    )
    .argument('[runs...]', 'runs: their ids, the beginnings of them, or "latest"')
    .option(
      '--older-than <time>',
      'those that ended so long ago: 30d, 12h; of a run without an end, its last event counts',
    )
    .addOption(new Option('--status <status...>', 'those of this status').choices(restingStatuses))
    .option('--recipe <name>', 'those of this recipe')
    .option('--dry-run', 'only say what would be removed')
    .addOption(homeOption())
    .option('--json', 'what was removed, as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  simmer remove latest --dry-run\n  simmer remove quickstart-20260101\n  simmer remove --older-than 30d --status failed crashed --dry-run',
    )
    .action(action(async () => (await import('./commands/remove.js')).remove));

  const evaluation = program
    .command('eval')
    .summary('diff: compare two evaluations; metrics: measure any figures')
    .description("Compares the evaluations of two runs, and computes s1's measures of any figures.");
  evaluation
    .command('diff')
    .summary('list the items whose verdict changed from one run to another')
    .description(
      'Lists, for each model and point of the sweep that both runs graded, the items that became right or wrong, with the ' +
        'answers that were read. Models are matched by their label.',
    )
    .addArgument(runArgument('before'))
    .argument('<after>', 'the run to compare it with')
    .option('--items <count>', 'how many items to show of each point', sequence, 20)
    .addOption(homeOption())
    .option('--json', 'every changed item as JSON, with both answers')
    .addHelpText('after', '\nExample:\n  simmer eval diff quickstart-20260101 latest')
    .action(action(async () => (await import('./commands/eval-diff.js')).evalDiff));
  evaluation
    .command('metrics')
    .summary("compute s1's Control, Scaling and Performance of a list of runs")
    .description(
      'Computes Control (percent of the runs that keep their limits), Scaling (mean slope of accuracy, in percentage ' +
        'points a token and a doubling of tokens) and Performance (best accuracy, in percent) from a list of ' +
        '{thinkingTokens, accuracy, controlled?, min?, max?}. Accuracy is in percent, or a share if none is above 1. ' +
        'If min and max limit something else than the thinking tokens, that is `controlled`.',
    )
    .argument('<file>', 'JSON, or CSV with these columns')
    .option('--json', 'control, performance, scalingRaw and scalingLog2 as JSON')
    .addHelpText('after', '\nExample:\n  simmer eval metrics runs.csv --json | jq .scalingLog2')
    .action(action(async () => (await import('./commands/eval-metrics.js')).evalMetrics, { hasNoServer: true }));
}
