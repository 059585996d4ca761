import type { StageEvent } from 'simmerkit';
import { type GradedRun, runLabels, type SampleVerdict } from './graded-run.js';
import { majorityOf } from './majority.js';
import { type BootstrapOptions, bootstrapMean } from './statistics.js';

/**
 * What k samples of each problem reach, for k of 1, 2, 4 … up to the samples that every problem has; nothing where that is
 * one. pass@k is the unbiased estimate over all samples (Chen et al. 2021, arXiv 2107.03374); maj@k and cov@k take the
 * first k: whether the answer that most of them gave is right, and whether any is.
 */
export function samplingMetrics(run: GradedRun, options: Omit<BootstrapOptions, 'purpose'>): StageEvent[] {
  const problems = [...run.problems.values()].map(({ answers, right }) => ({
    right,
    answers: answers.toSorted((one, other) => one.index - other.index),
  }));
  const samples = Math.min(...problems.map(({ answers }) => answers.length));
  if (samples < 2) return [];
  const sizes = [...new Set([...powersOfTwo(samples), samples])];
  const isRight = ({ verdict }: SampleVerdict) => verdict === 'right';
  return sizes.flatMap((size) => {
    const figures = {
      'pass@': problems.map(({ answers, right }) => passAt(size, answers.length, right)),
      'maj@': problems.map(({ answers }) => Number(isRight(majority(answers.slice(0, size))))),
      'cov@': problems.map(({ answers }) => Number(answers.slice(0, size).some(isRight))),
    };
    return Object.entries(figures).map(([figure, values]): StageEvent => {
      const name = `${run.model}.${figure}${size}@${run.policy.id}`;
      const { mean, interval } = bootstrapMean(Float64Array.from(values), { ...options, purpose: name });
      const labels = { ...runLabels(run), samples: size };
      return {
        type: 'metric.measured',
        data: { name, value: mean, interval, unit: 'share', count: problems.length, labels },
      };
    });
  });
}

/** The chance that of k samples drawn from `samples`, `right` of them right, at least one is right. */
export function passAt(k: number, samples: number, right: number): number {
  let allWrong = 1;
  for (let drawn = 0; drawn < k; drawn += 1) allWrong *= Math.max(0, samples - right - drawn) / (samples - drawn);
  return 1 - allWrong;
}

function majority(answers: readonly SampleVerdict[]): SampleVerdict {
  const chosen = majorityOf(answers.map((answer) => ({ ...answer })));
  return answers.find(({ index }) => index === chosen.index) as SampleVerdict;
}

function powersOfTwo(most: number): number[] {
  return Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, exponent) => 2 ** exponent);
}
