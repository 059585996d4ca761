import * as Plot from '@observablehq/plot';
import { type EventData, formatCount } from 'simmerkit';
import type { TrainingCurve } from '../report-data.js';
import { draw } from './draw.js';

type Step = EventData['step.logged'];

/** No chart shows more, and a running median of a hundred thousand steps takes seconds. */
const stepsDrawn = 1000;
const mostTicks = 8;

/** Loss by optimizer step: each step faint, their running median over it; checkpoints along the axis. */
export function lossChart(curve: TrainingCurve): string {
  const finite = curve.steps.filter((step) => step.loss !== null);
  const every = Math.ceil(finite.length / stepsDrawn);
  const steps = finite.filter((_, index) => index % every === 0);
  const [first = 1, last = 1] = [steps[0]?.step, steps.at(-1)?.step];
  const window = Math.max(1, Math.round(steps.length / 25));
  return draw(`Training loss of ${curve.stage}`, {
    // No more marks than whole steps between the ends: a mark between two steps is none.
    x: { label: 'optimizer step', ticks: Math.max(1, Math.min(mostTicks, last - first)), tickFormat: formatCount },
    y: { label: 'loss, nats a trained token', grid: true, zero: true },
    marks: [
      Plot.ruleY([0]),
      Plot.lineY(steps, { x: 'step', y: 'loss', stroke: 'var(--tuned)', strokeOpacity: 0.35, strokeWidth: 1.25 }),
      Plot.lineY(
        steps,
        Plot.windowY(
          { k: window, reduce: 'median', anchor: 'middle' },
          { x: 'step', y: 'loss', stroke: 'var(--tuned)', strokeWidth: 2.25 },
        ),
      ),
      Plot.dot(curve.evaluations, {
        x: 'step',
        y: 'loss',
        stroke: 'var(--ink)',
        fill: 'var(--page)',
        r: 4,
        title: (one: EventData['evaluation.logged']) => `evaluation loss ${one.loss.toFixed(3)} after step ${one.step}`,
      }),
      Plot.dot(curve.checkpoints, {
        x: (step: number) => step,
        y: 0,
        symbol: 'diamond',
        fill: 'var(--ink)',
        r: 4,
        title: (step: number) => `checkpoint after step ${step}`,
      }),
      Plot.dot(steps, { x: 'step', y: 'loss', r: 5, fill: 'transparent', title: describe }),
    ],
  });
}

function describe(step: Step): string {
  const loss = step.loss === null ? 'not finite' : step.loss.toFixed(3);
  return `step ${step.step} of ${step.totalSteps}: loss ${loss}, learning rate ${step.learningRate.toExponential(2)}, ${step.tokensPerSecond.toFixed(0)} tokens/s`;
}
