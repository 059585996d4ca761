import type { StageEvent } from 'simmerkit';
import { type GradedRun, runLabels } from './graded-run.js';
import { samplingMetrics } from './sampling-metrics.js';
import { bootstrapMean } from './statistics.js';

/** The metrics of one model under one policy, as the README lists them. */
export function measureRun(run: GradedRun, options: { readonly draws: number; readonly seed: number }): StageEvent[] {
  const name = (figure: string) => `${run.model}.${figure}@${run.policy.id}`;
  const labels = runLabels(run);
  const count = run.problems.size;
  const accuracy = bootstrapMean(run.accuracies(), { ...options, purpose: name('accuracy') });
  const figure = (of: string, value: number, unit: string): StageEvent => ({
    type: 'metric.measured',
    data: { name: name(of), value, unit, count, labels },
  });
  return [
    {
      type: 'metric.measured',
      data: { name: name('accuracy'), value: accuracy.mean, interval: accuracy.interval, unit: 'share', count, labels },
    },
    ...samplingMetrics(run, options),
    figure('unparsed', run.share('unparsed'), 'share'),
    ...(run.share('timedOut') === 0 ? [] : [figure('timed-out', run.share('timedOut'), 'share')]),
    ...(run.share('contextCut') === 0 ? [] : [figure('context-cut', run.share('contextCut'), 'share')]),
    ...(run.share('disputed') === 0 ? [] : [figure('finish-disputed', run.share('disputed'), 'share')]),
    figure('thinking-tokens', run.mean('thinking'), 'tokens'),
    figure('answer-tokens', run.mean('answer'), 'tokens'),
    figure('thinking-finished', run.share('finished'), 'share'),
    figure('forced-end', run.share('forced'), 'share'),
    figure('sequence-end', run.share('sequence'), 'share'),
    figure('extended', run.share('extended'), 'share'),
    figure('waits', run.mean('waits'), 'waits'),
    figure('answer-cut', run.share('cut'), 'share'),
  ];
}
