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
    figure('unparsed', run.unparsedShare, 'share'),
    ...(run.timedOutShare === 0 ? [] : [figure('timed-out', run.timedOutShare, 'share')]),
    ...(run.contextCutShare === 0 ? [] : [figure('context-cut', run.contextCutShare, 'share')]),
    ...(run.disputedShare === 0 ? [] : [figure('finish-disputed', run.disputedShare, 'share')]),
    figure('thinking-tokens', run.meanThinkingTokens, 'tokens'),
    figure('answer-tokens', run.meanAnswerTokens, 'tokens'),
    figure('thinking-finished', run.finishedShare, 'share'),
    figure('forced-end', run.forcedEndShare, 'share'),
    figure('sequence-end', run.sequenceEndShare, 'share'),
    figure('extended', run.extendedShare, 'share'),
    figure('waits', run.meanWaits, 'waits'),
    figure('answer-cut', run.answerCutShare, 'share'),
  ];
}
