import { defineStage, manyInputs, pace, type StageEvent, type TableArtifact } from 'simmerkit';
import type { ComparisonReport, Role } from './comparison.js';
import type { GradedRun, GradedRuns } from './graded-run.js';
import { labelProblem, labelsFrom } from './model-labels.js';
import { compareOptions } from './options.js';

const graded = ['model', 'policy', 'prompt_id', 'verdict'];

export const compare = defineStage({
  description:
    "Compares models, maxima and waits by paired bootstrap, and measures s1's Control, Scaling and Performance.",
  options: compareOptions,
  inputs: {
    untuned: manyInputs(
      'dataset',
      'Graded answers of the model that the others are compared with: the one before fine-tuning.',
    ),
    tuned: manyInputs(
      'dataset',
      'Graded answers after fine-tuning, of one model or several; each model has its own label.',
    ),
  },
  outputs: { report: { type: 'report', description: 'Runs, differences with intervals, and scaling measures.' } },
  checkInputs({ untuned = [], tuned = [] }) {
    const problem = labelProblem({ untuned: labelsFrom(untuned), tuned: labelsFrom(tuned) });
    return problem === undefined ? [] : [problem];
  },
  reads: () => ({ untuned: graded, tuned: graded }),
  async run(context) {
    const { compareRuns, differencesOfPrompts } = await import('./comparison.js');
    const { inputs, options } = context;
    const rows = [...inputs.untuned, ...inputs.tuned].reduce((sum, table) => sum + table.rowCount, 0);
    const reading = pace(context, { unit: 'answers', total: rows });
    const read = async (role: Role) => {
      const { runs, ignored } = await readRuns(inputs[role], () => reading.step());
      for (const { model, policy } of ignored) {
        context.log.warning(
          `\`${role}\` has other answers of ${model} at ${policy.id} in a later input; those of the first one count. ` +
            'Give each model that is to be compared a `label` of its own, in budget-forcing/generate or in eval/grade.',
        );
      }
      return runs;
    };
    const untuned = await read('untuned');
    const tuned = await read('tuned');
    await reading.finish();
    const graders = gradersOf([...inputs.untuned, ...inputs.tuned]);
    if (graders.length > 1) {
      context.log.warning(
        `These answers were graded in different ways (${graders.join('; ')}): a difference may be that of the graders. ` +
          'Give each eval/grade stage the same `grader` and `extraction`.',
      );
    }
    const ofPrompts = differencesOfPrompts({ untuned, tuned });
    if (ofPrompts.length > 0) {
      context.log.warning(
        `The two sides of ${ofPrompts.slice(0, 3).join(', ')}${ofPrompts.length > 3 ? ', …' : ''} were asked in different ` +
          'words: a difference may be that of the prompts. Give both the same dataset and the same `promptTemplate`.',
      );
    }
    const comparing = pace(context, { unit: 'intervals', total: null });
    const content = await compareRuns(
      { untuned, tuned },
      { draws: options.draws, seed: context.seed, breathe: () => comparing.step() },
    );
    const report = await context.artifacts.writeReport(content, { kind: content.kind });
    for (const metric of metricsOf(content)) await context.emit(metric);
    return { report };
  },
});

/** Each way in which the tables say that they were graded. */
function gradersOf(tables: readonly TableArtifact[]): string[] {
  const told = tables.flatMap(({ metadata: { grader, extraction } }) =>
    typeof grader === 'string' ? [`${grader}, extraction ${JSON.stringify(extraction)}`] : [],
  );
  return [...new Set(told)];
}

interface ReadRuns {
  readonly runs: GradedRuns;
  /** What a later table says of a run that an earlier one has, where it is not the same. */
  readonly ignored: readonly GradedRun[];
}

/** Adds graded tables up. A policy that an earlier table has already is taken from that one. */
async function readRuns(tables: readonly TableArtifact[], step: () => Promise<void>): Promise<ReadRuns> {
  const { GradedRun, GradedRuns } = await import('./graded-run.js');
  const runs = new GradedRuns();
  const ignored: GradedRun[] = [];
  for (const table of tables) {
    const earlier = new Set(runs.all());
    const again = new Map<GradedRun, GradedRun>();
    for await (const row of table.rows()) {
      const run = runs.runOf(row);
      if (earlier.has(run)) {
        const later = again.get(run) ?? new GradedRun(run.model, run.policy);
        again.set(run, later);
        later.add(row);
      } else run.add(row);
      await step();
    }
    for (const [run, later] of again) if (!later.hasVerdictsOf(run)) ignored.push(later);
  }
  return { runs, ignored };
}

function metricsOf(report: ComparisonReport): StageEvent[] {
  const differences = report.differences.map(
    (one): StageEvent => ({
      type: 'metric.measured',
      data: {
        name: one.name,
        value: one.difference,
        interval: one.interval,
        count: one.problems,
        unit: 'share',
        labels: {
          kind: one.kind,
          model: one.to.model,
          policy: one.to.policy,
          fromModel: one.from.model,
          fromPolicy: one.from.policy,
          wrongToRight: one.wrongToRight,
          rightToWrong: one.rightToWrong,
        },
      },
    }),
  );
  const scaling = report.scaling.flatMap((one) => {
    const figures: readonly (readonly [string, number | null, string])[] = [
      ['control', one.control, 'share'],
      ['scaling', one.scalingPerToken, 'percentage points a token'],
      ['scaling-log2', one.scalingPerDoubling, 'percentage points a doubling'],
      ['performance', one.performance, 'share'],
    ];
    return figures.flatMap(([figure, value, unit]): StageEvent[] => {
      if (value === null) return [];
      const labels = { model: one.model, series: one.series };
      return [
        {
          type: 'metric.measured',
          data: { name: `${one.model}.${figure}.${one.series}`, value, unit, count: one.runs, labels },
        },
      ];
    });
  });
  return [...differences, ...scaling];
}
