import type { EventData, MeasuredFigure } from 'simmerkit';

type Metric = EventData['metric.measured'];

/** One way of thinking under which models were scored: a row of the table. */
interface ScoredPolicy {
  readonly id: string;
  /** "128 tokens", "512 tokens, 2 x Wait": what thinking was held to; with the policy's id where it was held in another way than by force. */
  readonly label: string;
  /** Accuracy by model, as the table calls it. */
  readonly accuracies: ReadonlyMap<string, Metric>;
}

export interface AccuracyTable {
  /** `MODEL (STAGE)` where several stages scored a model under one policy: on other problems, or by another grader. */
  readonly models: readonly string[];
  readonly policies: readonly ScoredPolicy[];
}

/** The accuracies among the metrics, by policy and model; policies by their maximum, then by their waits. */
export function accuracyTable(figures: Iterable<MeasuredFigure>): AccuracyTable {
  const accuracies = [...figures].filter(isAccuracy);
  const ambiguous = scoredTwice(accuracies);
  const models: string[] = [];
  const policies = new Map<string, { labels: NonNullable<Metric['labels']>; accuracies: Map<string, Metric> }>();
  for (const { stage, figure } of accuracies) {
    const { labels = {} } = figure;
    const { policy } = labels;
    const model = ambiguous.has(String(labels.model)) ? `${labels.model} (${stage})` : String(labels.model);
    if (!models.includes(model)) models.push(model);
    const row = policies.get(String(policy)) ?? { labels, accuracies: new Map() };
    row.accuracies.set(model, figure);
    policies.set(String(policy), row);
  }
  const order = (labels: NonNullable<Metric['labels']>) => [
    Number(labels.maxThinkingTokens ?? Number.POSITIVE_INFINITY),
    Number(labels.ignore ?? 0),
  ];
  return {
    models,
    policies: [...policies]
      .sort(([, a], [, b]) => compareLists(order(a.labels), order(b.labels)))
      .map(([id, { labels, accuracies }]) => ({ id, label: policyLabel(labels), accuracies })),
  };
}

/** What the rows of the table are; where no model thinks, nothing is said of thinking. @param of "on 200 problems" */
export function accuracyTitle(policies: readonly ScoredPolicy[], of = ''): string {
  const title = of === '' ? 'accuracy' : `accuracy ${of}`;
  return isPlain(policies) ? title : `${title}, thinking at most`;
}

/** Whether models were scored, and none of them was to think: what holds thinking is no matter then. */
export function isPlain(policies: readonly ScoredPolicy[]): boolean {
  return policies.length > 0 && policies.every(({ label }) => label === noThinking);
}

const noThinking = 'no thinking';

function isAccuracy({ figure }: MeasuredFigure): boolean {
  const { model, policy } = figure.labels ?? {};
  return model !== undefined && policy !== undefined && figure.name === `${model}.accuracy@${policy}`;
}

/** The models of which two stages measured the same accuracy. */
function scoredTwice(accuracies: readonly MeasuredFigure[]): ReadonlySet<string> {
  const names = accuracies.map(({ figure }) => figure.name);
  return new Set(
    accuracies
      .filter(({ figure }, index) => names.indexOf(figure.name) !== index)
      .map(({ figure }) => String(figure.labels?.model)),
  );
}

/** A difference that was measured on pairs: tuned against untuned, more thinking against less. */
interface MeasuredDifference {
  readonly label: string;
  readonly metric: Metric;
}

/** The differences among the metrics: between models first, then between maxima, then between waits. */
export function measuredDifferences(figures: Iterable<MeasuredFigure>): readonly MeasuredDifference[] {
  const kinds = ['model', 'maximum', 'waits'];
  const kindOf = ({ figure }: MeasuredFigure) => kinds.indexOf(String(figure.labels?.kind));
  const differences = [...figures].filter((one) => kindOf(one) >= 0).sort((a, b) => kindOf(a) - kindOf(b));
  const names = differences.map(({ figure }) => figure.name);
  return differences.map(({ stage, figure }) => {
    const label = differenceLabel(figure.labels ?? {});
    const isShared = names.indexOf(figure.name) !== names.lastIndexOf(figure.name);
    return { label: isShared ? `${label} (${stage})` : label, metric: figure };
  });
}

/** A difference of shares in percentage points: "+4.2", "\u22122.0", and without a sign what rounds to "0.0". */
export function signedPoints(difference: number): string {
  const points = (Math.abs(difference) * 100).toFixed(1);
  if (Number(points) === 0) return points;
  return `${difference > 0 ? '+' : '\u2212'}${points}`;
}

function differenceLabel(labels: NonNullable<Metric['labels']>): string {
  const { kind, model, policy, fromModel, fromPolicy } = labels;
  return kind === 'model'
    ? `${model} over ${fromModel}, ${shortPolicy(policy)}`
    : `${model}, ${shortPolicy(policy)} over ${shortPolicy(fromPolicy)}`;
}

/** "512+2xWait" as it stands in a policy's id, easier on the eye. */
function shortPolicy(policy: string | number | undefined): string {
  return `@${policy ?? ''}`.replace(/\+(\d+)x/, ' + $1 x ');
}

function policyLabel(labels: NonNullable<Metric['labels']>): string {
  const { method = 'budget-forcing', policy } = labels;
  if (method === 'none') return noThinking;
  const maximum = labels.maxThinkingTokens === undefined ? 'no limit' : `${labels.maxThinkingTokens} tokens`;
  if (method !== 'budget-forcing') return `${maximum}, ${policy}`;
  const waits = Number(labels.ignore ?? 0);
  return waits === 0 ? maximum : `${maximum}, ${waits} x ${labels.word === '' ? 'nothing' : labels.word}`;
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}
