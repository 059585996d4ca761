import type { EventData } from 'simmerkit';

type Metric = EventData['metric.measured'];

/** One way of thinking under which models were scored: a row of the table. */
export interface ScoredPolicy {
  readonly id: string;
  /** "128 tokens", "512 tokens, 2 x Wait": what thinking was held to. */
  readonly label: string;
  /** Accuracy by model. */
  readonly accuracies: ReadonlyMap<string, Metric>;
}

export interface AccuracyTable {
  readonly models: readonly string[];
  readonly policies: readonly ScoredPolicy[];
}

/** The accuracies among the metrics, by policy and model; policies by their maximum, then by their waits. */
export function accuracyTable(metrics: Iterable<Metric>): AccuracyTable {
  const models: string[] = [];
  const policies = new Map<string, { labels: NonNullable<Metric['labels']>; accuracies: Map<string, Metric> }>();
  for (const metric of metrics) {
    const { model, policy } = metric.labels ?? {};
    if (model === undefined || policy === undefined || metric.name !== `${model}.accuracy@${policy}`) continue;
    if (!models.includes(String(model))) models.push(String(model));
    const row = policies.get(String(policy)) ?? { labels: metric.labels ?? {}, accuracies: new Map() };
    row.accuracies.set(String(model), metric);
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

/** A difference that was measured on pairs: tuned against untuned, more thinking against less. */
export interface MeasuredDifference {
  readonly label: string;
  readonly metric: Metric;
}

/** The differences among the metrics: between models first, then between maxima, then between waits. */
export function measuredDifferences(metrics: Iterable<Metric>): readonly MeasuredDifference[] {
  const kinds = ['model', 'maximum', 'waits'];
  return [...metrics]
    .filter((metric) => kinds.includes(String(metric.labels?.kind)))
    .sort((a, b) => kinds.indexOf(String(a.labels?.kind)) - kinds.indexOf(String(b.labels?.kind)))
    .map((metric) => ({ label: differenceLabel(metric.labels ?? {}), metric }));
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
  if (labels.method === 'none') return 'no thinking';
  const maximum = labels.maxThinkingTokens === undefined ? 'no limit' : `${labels.maxThinkingTokens} tokens`;
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
