import { createHash } from 'node:crypto';
import type { Event, EventData } from 'simmerkit';
import type { Summary, TaggedValue } from './event-messages.js';

/** A summary, and which of TensorBoard's runs it is of. */
export interface RunSummary extends Summary {
  /** The name of a stage, with that of a model behind it where it is scored there; empty for what is of the whole run. */
  readonly run: string;
}

type Metric = EventData['metric.measured'];

/**
 * Folds a run's events into what TensorBoard shows of them. Given the same events it gives the same summaries: a step that
 * ran again after a resume comes again, for the caller to leave out.
 */
export class RunSummaries {
  /** By stage: the keys that it has had, and its run as of the last one. */
  readonly #keyed = new Map<string, { readonly keys: readonly string[]; readonly run: string }>();
  /** By stage: what is measured again counts as it was measured last, which is known when the stage is done. */
  readonly #measured = new Map<string, Map<string, { readonly time: number; readonly metric: Metric }>>();
  /** The last of the second that it is of: several sources tell at once. */
  #spent: RunSummary | undefined;

  add(event: Event): readonly RunSummary[] {
    switch (event.type) {
      case 'stage.started':
        this.keyed(event);
        this.#measured.delete(event.stage ?? '');
        return [];
      case 'step.logged':
      case 'evaluation.logged':
        return [{ run: this.#runOf(event.stage), ...trainingSummary(event) }];
      case 'metric.measured':
        this.#measure(event);
        return [];
      case 'stage.completed':
        return this.#takeMeasured(event.stage ?? '');
      case 'stage.reused':
        this.keyed(event);
        return this.#takeMeasured(event.stage ?? '');
      case 'budget.spent':
        return this.#spend(event);
      case 'run.completed':
      case 'run.failed':
      case 'run.interrupted':
        return this.#takeSpent();
      default:
        return [];
    }
  }

  /**
   * Which run a stage is from here on. One that has another key than before, since its code changed before a resume, begins
   * anew, and is another run: `tuned.2`.
   */
  keyed({ stage = '', data: { key } }: Event<'stage.started' | 'stage.reused'>): string {
    const before = this.#keyed.get(stage)?.keys ?? [];
    const keys = before.includes(key) ? before : [...before, key];
    const ordinal = keys.indexOf(key) + 1;
    const run = ordinal === 1 ? stage : `${stage}.${ordinal}`;
    this.#keyed.set(stage, { keys, run });
    return run;
  }

  #runOf(stage = ''): string {
    return this.#keyed.get(stage)?.run ?? stage;
  }

  #measure({ stage = '', time, data }: Event<'metric.measured'>): void {
    const metrics = this.#measured.get(stage) ?? new Map();
    metrics.set(data.name, { time: Date.parse(time), metric: data });
    this.#measured.set(stage, metrics);
  }

  #takeMeasured(stage: string): readonly RunSummary[] {
    const metrics = [...(this.#measured.get(stage)?.values() ?? [])];
    this.#measured.delete(stage);
    return metrics.flatMap(({ time, metric }) => {
      const shown = shownMetric(metric);
      if (shown === undefined) return [];
      const { model, step, value } = shown;
      return [{ run: `${this.#runOf(stage)}/${model}`, time, step, values: [value] }];
    });
  }

  #spend({ time, data }: Event<'budget.spent'>): readonly RunSummary[] {
    const { usd, gpuHours, wallClockSeconds } = data.total;
    const step = Math.floor(wallClockSeconds);
    const before = this.#spent === undefined || this.#spent.step === step ? [] : this.#takeSpent();
    const values = [
      ...(usd > 0 ? [{ tag: 'spending/usd', value: usd }] : []),
      ...(gpuHours > 0 ? [{ tag: 'spending/gpu_hours', value: gpuHours }] : []),
    ];
    if (values.length > 0) this.#spent = { run: '', time: Date.parse(time), step, values };
    return before;
  }

  #takeSpent(): readonly RunSummary[] {
    const spent = this.#spent;
    this.#spent = undefined;
    return spent === undefined ? [] : [spent];
  }
}

/** One step, or one evaluation, of a training, under the names that transformers' Trainer and TRL give TensorBoard. */
export function trainingSummary(event: Event<'step.logged' | 'evaluation.logged'>): Summary {
  const values = event.type === 'step.logged' ? stepValues(event.data) : [{ tag: 'eval/loss', value: event.data.loss }];
  return { time: Date.parse(event.time), step: event.data.step, values };
}

function stepValues(step: EventData['step.logged']): readonly TaggedValue[] {
  return [
    // TensorBoard marks what is not a number where it is.
    { tag: 'train/loss', value: step.loss ?? Number.NaN },
    { tag: 'train/learning_rate', value: step.learningRate },
    ...(step.gradientNorm === null ? [] : [{ tag: 'train/grad_norm', value: step.gradientNorm }]),
    { tag: 'train/epoch', value: step.epoch },
    { tag: 'train/num_tokens', value: step.tokensSeen },
    { tag: 'train/tokens_per_second', value: step.tokensPerSecond },
    ...(step.modelFlopsUtilization === undefined ? [] : [{ tag: 'train/mfu', value: step.modelFlopsUtilization }]),
    { tag: 'train/peak_memory_gb', value: step.peakMemoryBytes / 1e9 },
  ];
}

/** What is drawn against the thinking budget, and under which name. */
const figures: Readonly<Record<string, string>> = { accuracy: 'accuracy', 'thinking-tokens': 'thinking_tokens' };

/**
 * What a model reached under a policy, at the policy's maximum of thinking tokens as the step: the policies of a model make
 * a curve, and those of several models are seen in one chart. What else a policy says (`512+2xWait`) makes another chart.
 */
function shownMetric({ name, value, labels = {} }: Metric) {
  const { model, policy, maxThinkingTokens } = labels;
  const figure = Object.keys(figures).find((each) => name === `${model}.${each}@${policy}`);
  if (figure === undefined) return undefined;
  const [maximum, ...rest] = String(policy).split('+');
  const isSwept = maximum === String(maxThinkingTokens);
  const chart = isSwept ? rest.join('+') : policy;
  const tag = `eval/${figures[figure]}${chart === '' ? '' : `/${chart}`}`;
  return { model: folderName(String(model)), step: isSwept ? Number(maximum) : 0, value: { tag, value } };
}

/** Whoever names a model may write anything. What is no name of a folder is told apart by the digest of it all. */
function folderName(text: string): string {
  const name = text.replaceAll(/^\.|[^\p{L}\p{N}_.-]+/gu, '-').slice(0, 100);
  return name === text ? name : `${name}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
}
