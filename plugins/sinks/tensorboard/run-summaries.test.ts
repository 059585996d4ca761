import type { Event, EventData, EventType } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { RunSummaries } from './run-summaries.js';

/** What is shown of events: a type and its data each, of the stage "tuned". */
function shown(...events: readonly (readonly [EventType, object])[]) {
  const summaries = new RunSummaries();
  return events
    .map(([type, data], index) => ({
      runId: 'r',
      sequence: index + 1,
      time: new Date(1000 * (index + 1)).toISOString(),
      stage: 'tuned',
      type,
      data,
    }))
    .flatMap((event) => summaries.add(event as Event));
}

const step: EventData['step.logged'] = {
  trainerEvent: 1,
  step: 3,
  totalSteps: 9,
  epoch: 0.5,
  loss: 1.5,
  learningRate: 1e-5,
  gradientNorm: 2,
  tokensSeen: 640,
  tokensPerSecond: 100,
  peakMemoryBytes: 2.5e9,
  rerun: false,
};

const accuracy = (policy: string, value: number, more: object = {}) =>
  ['metric.measured', { name: `m.accuracy@${policy}`, value, labels: { model: 'm', policy, ...more } }] as const;

const done = ['stage.completed', { key: 'a' }] as const;

describe('what TensorBoard is shown', () => {
  it('names a step as the Trainer of transformers does, at the time of its event', () => {
    expect(shown(['step.logged', step])).toEqual([
      {
        run: 'tuned',
        time: 1000,
        step: 3,
        values: [
          { tag: 'train/loss', value: 1.5 },
          { tag: 'train/learning_rate', value: 1e-5 },
          { tag: 'train/grad_norm', value: 2 },
          { tag: 'train/epoch', value: 0.5 },
          { tag: 'train/num_tokens', value: 640 },
          { tag: 'train/tokens_per_second', value: 100 },
          { tag: 'train/peak_memory_gb', value: 2.5 },
        ],
      },
    ]);
    expect(shown(['evaluation.logged', { trainerEvent: 2, step: 3, loss: 1.25 }])).toEqual([
      { run: 'tuned', time: 1000, step: 3, values: [{ tag: 'eval/loss', value: 1.25 }] },
    ]);
  });

  it('has the utilization where it is known, and a loss that is none', () => {
    const [summary] = shown(['step.logged', { ...step, loss: null, gradientNorm: null, modelFlopsUtilization: 0.4 }]);
    expect(summary?.values).toContainEqual({ tag: 'train/mfu', value: 0.4 });
    expect(summary?.values).toContainEqual({ tag: 'train/loss', value: Number.NaN });
    expect(summary?.values.map(({ tag }) => tag)).not.toContain('train/grad_norm');
  });

  it('draws accuracies against the thinking budget, a run for each model and a chart for each kind of wait', () => {
    const measured = shown(
      accuracy('128', 0.5, { maxThinkingTokens: 128 }),
      accuracy('512', 0.75, { maxThinkingTokens: 512 }),
      accuracy('512+2xWait', 0.8, { maxThinkingTokens: 512, ignore: 2 }),
      accuracy('auto', 0.7),
      ['metric.measured', { name: 'm.thinking-tokens@512', value: 300, labels: { model: 'm', policy: '512' } }],
      ['metric.measured', { name: 'm.waits@512', value: 0, labels: { model: 'm', policy: '512' } }],
      done,
    );
    expect(measured.map(({ run, time, step: at, values }) => [run, time, at, ...values])).toEqual([
      ['tuned/m', 1000, 128, { tag: 'eval/accuracy', value: 0.5 }],
      ['tuned/m', 2000, 512, { tag: 'eval/accuracy', value: 0.75 }],
      ['tuned/m', 3000, 512, { tag: 'eval/accuracy/2xWait', value: 0.8 }],
      ['tuned/m', 4000, 0, { tag: 'eval/accuracy/auto', value: 0.7 }],
      ['tuned/m', 5000, 0, { tag: 'eval/thinking_tokens/512', value: 300 }],
    ]);
  });

  it.each([
    ['Qwen/Qwen2.5 7B', 'tuned/Qwen-Qwen2.5-7B-6ba7922b'],
    ['..', 'tuned/-.-5ec1f7e7'],
    ['/../a', 'tuned/-..-a-89addbab'],
    ['基础模型', 'tuned/基础模型'],
  ])('makes no path of the model %j', (model, run) => {
    const labels = { model, policy: 'none' };
    const measured = ['metric.measured', { name: `${model}.accuracy@none`, value: 1, labels }] as const;
    expect(shown(measured, done).map((summary) => summary.run)).toEqual([run]);
  });

  it('takes what was measured again as it was measured last', () => {
    const started = ['stage.started', { key: 'a' }] as const;
    const values = (...events: readonly (readonly [EventType, object])[]) =>
      shown(...events).map((summary) => [summary.values[0]?.tag, (summary.values[0] as { value: number }).value]);
    expect(values(started, accuracy('none', 0.1), accuracy('none', 0.2), done)).toEqual([['eval/accuracy/none', 0.2]]);
    expect(values(started, accuracy('a', 0.1), started, accuracy('b', 0.2), done)).toEqual([['eval/accuracy/b', 0.2]]);
  });

  it('has the spending by the second, the last of each, and that of the end', () => {
    const spent = (usd: number, wallClockSeconds: number, gpuHours = 0) =>
      ['budget.spent', { source: 's', total: { usd, gpuHours, wallClockSeconds } }] as const;
    expect(shown(spent(0, 1), spent(1, 5.1), spent(2, 5.9, 0.5), spent(3, 9), ['run.completed', {}])).toEqual([
      {
        run: '',
        time: 3000,
        step: 5,
        values: [
          { tag: 'spending/usd', value: 2 },
          { tag: 'spending/gpu_hours', value: 0.5 },
        ],
      },
      { run: '', time: 4000, step: 9, values: [{ tag: 'spending/usd', value: 3 }] },
    ]);
  });

  it('makes another run of a stage that begins anew since its code changed', () => {
    const started = (key: string) => ['stage.started', { key }] as const;
    const logged = ['step.logged', step] as const;
    const all = shown(started('a'), logged, started('a'), logged, started('b'), logged, started('a'), logged);
    expect(all.map(({ run }) => run)).toEqual(['tuned', 'tuned', 'tuned.2', 'tuned']);
  });
});
