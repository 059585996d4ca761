import { defineStage, manyInputs, pace, requireColumns, type StageEvent, type TableArtifact } from 'simmerkit';
import type { ComparisonReport } from './comparison.js';
import type { GradedRuns } from './graded-run.js';
import { compareOptions } from './options.js';

export const compare = defineStage({
  description:
    "Compares models, maxima and waits by paired bootstrap, and measures s1's Control, Scaling and Performance.",
  options: compareOptions,
  inputs: {
    untuned: manyInputs('dataset', 'Graded answers of the model before fine-tuning.'),
    tuned: manyInputs('dataset', 'Graded answers of the model after fine-tuning.'),
  },
  outputs: { report: { type: 'report', description: 'Runs, differences with intervals, and scaling measures.' } },
  async run(context) {
    const { compareRuns } = await import('./comparison.js');
    const { inputs, options } = context;
    const rows = [...inputs.untuned, ...inputs.tuned].reduce((sum, table) => sum + table.rowCount, 0);
    const reading = pace(context, { unit: 'answers', total: rows });
    const untuned = await readRuns(inputs.untuned, () => reading.step());
    const tuned = await readRuns(inputs.tuned, () => reading.step());
    await reading.finish();
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

/** Adds graded tables up. A policy that an earlier table has already is taken from that one. */
async function readRuns(tables: readonly TableArtifact[], step: () => Promise<void>): Promise<GradedRuns> {
  const { GradedRuns } = await import('./graded-run.js');
  const runs = new GradedRuns();
  for (const table of tables) {
    requireColumns(table, ['model', 'policy', 'prompt_id', 'verdict'], 'A graded dataset');
    const earlier = new Set(runs.all());
    for await (const row of table.rows()) {
      const run = runs.runOf(row);
      if (!earlier.has(run)) run.add(row);
      await step();
    }
  }
  return runs;
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
