import {
  type Event,
  type EventData,
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatShare,
} from 'simmerkit';
import { type ConsoleState, elapsedSeconds, secondsLeft, type WatchedStage } from './console-state.js';
import { counted, countText, figuresOf, outcome, timeLeft } from './live-view.js';
import { spendingText } from './spending-text.js';
import { plainLine } from './terminal-text.js';

/** Between two lines about how far one stage is, and before the first: a short stage needs none. */
const secondsBetweenLines = 15;

/** Tells a run as plain lines, one for each event that is worth one; progress is thinned by the time of the events. */
export class PlainLines {
  readonly #toldAt = new Map<string, number>();

  /** @param state with the event already in it */
  tell(event: Event, state: ConsoleState): readonly string[] {
    const text = this.#text(event, state);
    if (text === undefined) return [];
    const isOfStage = event.stage !== undefined && event.type !== 'budget.spent';
    const stage = isOfStage ? `${plainLine(event.stage)}: ` : '';
    return [`${clock(elapsedSeconds(state, Date.parse(event.time)))}  ${stage}${plainLine(text)}`];
  }

  /**
   * Whether enough time went by since the last line of this kind, or since `startedAt`; then this is the last one. The clock
   * of a core that takes a run up may be behind that of the one before.
   */
  #isDue(kind: string, time: number, startedAt = 0): boolean {
    const since = Math.max(this.#toldAt.get(kind) ?? 0, startedAt);
    if (Math.abs(time - since) < secondsBetweenLines * 1000) return false;
    this.#toldAt.set(kind, time);
    return true;
  }

  #text(event: Event, state: ConsoleState): string | undefined {
    const stage = event.stage === undefined ? undefined : state.stages.get(event.stage);
    switch (event.type) {
      case 'run.started':
        return `${state.recipe} ${event.data.resumed ? 'resumed' : 'started'} as run ${event.runId}`;
      case 'stage.started':
        return `started (${event.data.uses}${(event.attempt ?? 1) > 1 ? `, attempt ${event.attempt}` : ''})`;
      case 'stage.reused':
        return 'from the cache';
      case 'stage.completed':
        return [`done in ${formatDuration(event.data.seconds)}`, stage === undefined ? '' : outcome(stage)]
          .filter((part) => part !== '')
          .join(', ');
      case 'stage.failed':
        return 'failed';
      case 'stage.interrupted':
        return `stopped (${event.data.reason})`;
      case 'stage.progressed':
      case 'step.logged':
        return stage === undefined ? undefined : this.#progress(stage, Date.parse(event.time));
      case 'funnel.counted':
        return funnelText(event.data, event.stage);
      case 'metric.measured':
        return metricText(event.data);
      case 'environment.prepared':
        return `environment ${event.data.name} ${event.data.reused ? 'is there' : `made in ${formatDuration(event.data.seconds)}`}`;
      case 'trainer.started':
        return event.data.start === 1
          ? `trainer ${event.data.trainer} started (process ${event.data.pid})`
          : `trainer ${event.data.trainer} started again (process ${event.data.pid}, start ${event.data.start})`;
      case 'trainer.attached':
        return `trainer ${event.data.trainer} still runs (process ${event.data.pid}); taken up again`;
      case 'trainer.exited':
        return event.data.expected ? undefined : exitText(event.data);
      case 'training.started':
        return (
          `training ${formatCounted(event.data.totalSteps, 'step')} on ${formatCounted(event.data.rows, 'row')}, ` +
          `${formatCount(event.data.tokens)} tokens` +
          (event.data.resumedAfterStep === 0 ? '' : `, going on after step ${event.data.resumedAfterStep}`) +
          (event.data.truncatedRows === 0
            ? ''
            : `; ${formatCounted(event.data.truncatedRows, 'row')} ${event.data.truncatedRows === 1 ? 'is' : 'are'} cut off`) +
          kernelsText(event.data)
        );
      case 'evaluation.logged':
        return `evaluation at step ${formatCount(event.data.step)}: loss ${event.data.loss.toFixed(3)}${event.data.best ? ', the best so far' : ''}`;
      case 'training.completed':
        return event.data.stoppedEarly ? `stopped early at step ${formatCount(event.data.steps)}` : undefined;
      case 'checkpoint.saved':
        if (!this.#isDue(`${event.stage} checkpoint`, Date.parse(event.time))) return undefined;
        return `checkpoint at step ${formatCount(event.data.step)} (${formatBytes(event.data.bytes)})`;
      case 'step.diverged':
        return `warning: step ${event.data.step} ran again with another loss: ${event.data.before}, then ${event.data.after}`;
      case 'log.written':
        if (event.data.level === 'debug') return undefined;
        return (event.data.level === 'info' ? '' : `${event.data.level}: `) + loggedText(event);
      case 'budget.set': {
        const limits = spendingText(state.spending);
        return limits === '' ? 'the budget has no limit any more' : `budget: ${limits} spent`;
      }
      case 'budget.spent': {
        const spent = spendingText(state.spending);
        // The time that passes stands before every line.
        if (event.data.usd === 0 && event.data.gpuHours === 0) return undefined;
        if (spent === '' || !this.#isDue('spending', Date.parse(event.time), state.startedAt)) return undefined;
        return `spent so far: ${spent}`;
      }
      case 'sink.failed':
        return `warning: ${failedSinkText(event.data)}`;
      default:
        return undefined;
    }
  }

  #progress(stage: WatchedStage, time: number): string | undefined {
    // That it learns at all, and from which loss, is worth a line at once.
    const isFirstStep = stage.step !== undefined && stage.losses.length <= 1;
    if (!this.#isDue(stage.name, time, isFirstStep ? 0 : stage.startedAt)) return undefined;
    const { done, total, unit } = counted(stage);
    const left = secondsLeft(stage, time);
    return [
      countText(done ?? 0, total, unit),
      ...figuresOf(stage),
      ...(left === undefined || left === 0 ? [] : [`${timeLeft(left)} left`]),
    ].join(', ');
  }
}

/** A line that belongs to no stage, such as a sink's, says which plugin it is from. */
function loggedText({ stage, data: { source, message } }: Event<'log.written'>): string {
  return stage === undefined && source.startsWith('plugin ') ? `${source}: ${message}` : message;
}

function kernelsText({ attention, kernels }: EventData['training.started']): string {
  if (attention === undefined) return '';
  return `; attention by ${attention}${kernels === 'liger' ? ', Liger kernels' : ''}`;
}

/** Undefined for a step that dropped nothing and is the whole stage: that the stage is done says as much. */
function funnelText(data: EventData['funnel.counted'], stage: string | undefined): string | undefined {
  const dropped = Object.entries(data.dropped).filter(([, rows]) => rows > 0);
  if (dropped.length === 0 && data.step === stage) return undefined;
  const reasons = dropped.map(([rule, rows]) => `${rule} ${formatCount(rows)}`).join(', ');
  return (
    (data.step === stage ? '' : `${data.step}: `) +
    `${formatCount(data.rowsIn)} → ${formatCounted(data.rowsOut, 'row')}` +
    (reasons === '' ? '' : ` (dropped: ${reasons})`)
  );
}

/** Accuracies as they are measured; everything else waits for the summary and the report. */
function metricText({ name, value, interval, labels }: EventData['metric.measured']): string | undefined {
  if (labels?.kind !== undefined || !name.includes('.accuracy@')) return undefined;
  const [low, high] = interval ?? [];
  const bounds = low === undefined || high === undefined ? '' : ` [${formatShare(low)}, ${formatShare(high)}]`;
  return `${name} ${formatShare(value)}${bounds}`;
}

/** What is worth a line above the live view, where it stays: what went wrong and what was done about it. */
export function lastingLine(event: Event): string | undefined {
  const stage = event.stage === undefined ? '' : `${event.stage}: `;
  switch (event.type) {
    case 'trainer.exited':
      return event.data.expected ? undefined : plainLine(stage + exitText(event.data));
    case 'log.written':
      return event.data.level === 'warning' || event.data.level === 'error'
        ? plainLine(stage + loggedText(event))
        : undefined;
    case 'step.diverged':
      return plainLine(
        `${stage}step ${event.data.step} ran again with another loss: ${event.data.before}, then ${event.data.after}`,
      );
    case 'sink.failed':
      return plainLine(failedSinkText(event.data));
    default:
      return undefined;
  }
}

/** With what to do about it: the run goes on, and nothing else says it. */
function failedSinkText({ sink, error: { message, hint } }: EventData['sink.failed']): string {
  return `sink ${sink} failed and is left out: ${message}${hint === undefined ? '' : ` ${hint}`}`;
}

function exitText(data: EventData['trainer.exited']): string {
  const how = data.signal === null ? `exit code ${data.exitCode ?? 'unknown'}` : `signal ${data.signal}`;
  // Below the cause, torchrun draws a rule.
  const last = data.lastLines.findLast((line) => /[\p{L}\p{N}]/u.test(line))?.trim();
  return `warning: trainer ${data.trainer} (process ${data.pid}) ended by itself, ${how}${last === undefined ? '' : `: ${last}`}`;
}

/** "04:12", "1:04:12". */
function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const digits = (value: number) => String(value).padStart(2, '0');
  return hours === 0 ? `${digits(minutes)}:${digits(rest)}` : `${hours}:${digits(minutes)}:${digits(rest)}`;
}
