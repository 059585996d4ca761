import { isForced } from './comparison-report.js';
import type { BrowsedProblem, BrowsedSample, BrowsedSamples } from './report-data.js';
import type { GradedSample } from './traces.js';

/** Characters of text in the page at most: it has to open at once. */
const mostCharacters = 6_000_000;

/** Problems in the order of their ids, as many as fit, each with its samples and what forcing changed of them. */
export function browsedSamples(samples: Iterable<GradedSample>): BrowsedSamples {
  const byProblem = new Map<string, GradedSample[]>();
  for (const sample of samples) byProblem.set(sample.promptId, [...(byProblem.get(sample.promptId) ?? []), sample]);
  const problems: BrowsedProblem[] = [];
  let room = mostCharacters;
  for (const id of [...byProblem.keys()].sort()) {
    const ofProblem = byProblem.get(id) ?? [];
    room -= ofProblem.reduce((sum, one) => sum + one.thinking.length + one.answer.length + one.question.length, 0);
    if (room < 0) break;
    const [first] = ofProblem;
    if (first !== undefined) {
      const { question, gold } = first;
      problems.push({ id, question, gold, samples: ofProblem.map((one) => browsed(one, ofProblem)) });
    }
  }
  return { problems, problemsInAll: byProblem.size };
}

function browsed(trace: GradedSample, others: readonly GradedSample[]): BrowsedSample {
  const before = trace.interventions.length === 0 ? undefined : lessForced(trace, others);
  const isSame = before === undefined || (before.verdict === trace.verdict && before.extracted === trace.extracted);
  const changedFrom = isSame
    ? undefined
    : { policy: before.policy, verdict: before.verdict, extracted: before.extracted };
  return { trace, changedFrom };
}

/**
 * What the same model answered with less forced: without the waits; for a maximum, under the largest; for a condition
 * that was also forced, under the condition alone.
 */
function lessForced(trace: GradedSample, others: readonly GradedSample[]): GradedSample | undefined {
  const same = others.filter((one) => one.model === trace.model && one.policy !== trace.policy);
  if (trace.method.endsWith('+forced')) {
    return same.find((one) => `${one.policy}+forced` === trace.policy);
  }
  if (!isForced(trace)) return undefined;
  const plain = same.filter((one) => isForced(one) && one.ignore === 0);
  if (trace.ignore > 0) return plain.find((one) => one.maxThinkingTokens === trace.maxThinkingTokens);
  const limit = ({ maxThinkingTokens }: GradedSample) => maxThinkingTokens ?? Number.POSITIVE_INFINITY;
  const largest = plain.toSorted((one, other) => limit(one) - limit(other)).at(-1);
  return largest !== undefined && limit(largest) > limit(trace) ? largest : undefined;
}
