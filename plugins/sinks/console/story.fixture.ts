import type { Event, EventData, EventType } from 'simmerkit';
import { type ConsoleState, foldEvent, initialState } from './console-state.js';

/** For tests: tells a run, event by event, with a clock that they move. */
export class Story {
  readonly #startedAt = Date.parse('2026-11-24T10:00:00.000Z');
  readonly events: Event[] = [];
  state: ConsoleState;
  seconds = 0;

  constructor(stages: readonly (readonly [name: string, uses: string])[] = []) {
    this.state = initialState({ recipe: 'quickstart', stages: stages.map(([name, uses]) => ({ name, uses })) });
  }

  get now(): number {
    return this.#startedAt + this.seconds * 1000;
  }

  wait(seconds: number): this {
    this.seconds += seconds;
    return this;
  }

  tell<T extends EventType>(type: T, data: EventData[T], stage?: string): this {
    const event = {
      runId: 'quickstart-1',
      sequence: this.events.length + 1,
      time: new Date(this.now).toISOString(),
      type,
      ...(stage === undefined ? {} : { stage, attempt: 1 }),
      data,
    } as Event;
    this.events.push(event);
    this.state = foldEvent(this.state, event);
    return this;
  }

  begin(): this {
    return this.tell('run.created', {
      format: 1,
      simmerVersion: '0.1.0',
      recipe: 'quickstart',
      planDigest: 'd',
      seed: 7,
    }).tell('run.started', { pid: 1, host: 'here', resumed: false });
  }

  start(stage: string, uses = 'curation/quality'): this {
    return this.tell('stage.started', { uses, key: 'k' }, stage);
  }

  complete(stage: string, seconds = 1, uses = 'curation/quality'): this {
    return this.tell('stage.completed', { uses, key: 'k', outputs: {}, seconds, peakMemoryBytes: 1e9 }, stage);
  }

  train(changed: Partial<EventData['training.started']> = {}): this {
    return this.tell(
      'training.started',
      {
        trainerEvent: 1,
        attemptId: 'a',
        resumedAfterStep: 0,
        totalSteps: 100,
        rows: 1000,
        tokens: 153_211,
        trainedTokens: 90_000,
        truncatedRows: 3,
        parameters: 134_515_008,
        trainedParameters: 134_515_008,
        precision: 'bfloat16',
        ...changed,
      },
      'tuned',
    );
  }

  step(step: number, loss: number | null, totalSteps = 100, learningRate = 1e-4): this {
    return this.tell(
      'step.logged',
      {
        trainerEvent: step + 1,
        step,
        totalSteps,
        epoch: 0,
        loss,
        learningRate,
        gradientNorm: 1,
        tokensSeen: step * 1000,
        tokensPerSecond: 418,
        peakMemoryBytes: 1.9e9,
        rerun: false,
      },
      'tuned',
    );
  }

  accuracy(model: string, maximum: number, value: number, ignore = 0): this {
    const policy = ignore === 0 ? String(maximum) : `${maximum}+${ignore}xWait`;
    return this.tell('metric.measured', {
      name: `${model}.accuracy@${policy}`,
      value,
      interval: [value - 0.05, value + 0.05],
      count: 200,
      unit: 'share',
      labels: { model, policy, method: 'budget-forcing', maxThinkingTokens: maximum, ignore, word: 'Wait' },
    });
  }
}
