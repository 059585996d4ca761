import type { EventDraft } from '../../core/events/catalogue.js';
import { random } from '../../core/random.js';

/** What a writer does: events that it emits in one go, and whether it waits until they are durable before the next. */
export interface Burst {
  readonly drafts: readonly EventDraft[];
  readonly waits: boolean;
}

/**
 * The events of a run as a core emits them: facts one by one, telemetry in bursts that mostly nobody waits for, lines from
 * a few bytes to tens of kilobytes. The event at index i is the only one that may ever have the sequence i + 1.
 *
 * @param steps optimizer steps; the rest of the run is a few dozen events
 */
export function runScript(seed: number, steps: number): readonly Burst[] {
  const choose = random(seed);
  const bursts: Burst[] = [];
  const facts = (...drafts: readonly EventDraft[]) => bursts.push({ drafts, waits: true });
  const telemetry = (...drafts: readonly EventDraft[]) => bursts.push({ drafts, waits: choose.integer(3) === 0 });

  facts({
    type: 'run.created',
    data: { format: 1, simmerVersion: '0.0.0', recipe: 'torture', planDigest: 'f'.repeat(64), seed },
  });
  facts({ type: 'run.started', data: { pid: 1, host: 'torture', resumed: false } });
  const outputs: Record<string, string> = {};
  for (const [index, stage] of ['pool', 'quality', 'decontaminate', 'select'].entries()) {
    const at = { stage, attempt: 1 };
    const key = String(index).repeat(64);
    facts({ type: 'stage.started', ...at, data: { uses: `curation/${stage}`, key } });
    telemetry(
      ...Array.from({ length: 1 + choose.integer(4) }, (_, done) => {
        return { type: 'stage.progressed', ...at, data: { done, total: 4, unit: 'rows' } } satisfies EventDraft;
      }),
    );
    const uri = `simmer://dataset/sha256-${key}`;
    outputs[`${stage}.dataset`] = uri;
    facts(
      { type: 'funnel.counted', ...at, data: { step: stage, rowsIn: 1000, rowsOut: 900, dropped: { long: 100 } } },
      { type: 'artifact.committed', ...at, data: { uri, output: 'dataset', bytes: 4096 } },
    );
    facts({
      type: 'stage.completed',
      ...at,
      data: { uses: `curation/${stage}`, key, outputs: { dataset: uri }, seconds: index, peakMemoryBytes: 1 },
    });
  }
  const at = { stage: 'tuned', attempt: 1 };
  facts({ type: 'stage.started', ...at, data: { uses: 'sft/train', key: 'a'.repeat(64) } });
  facts({ type: 'trainer.started', data: { trainer: 'student', pid: 2, address: 'unix:/t', start: 1 } });
  for (let step = 1; step <= steps; step += 1) {
    telemetry(...stepTelemetry(step, steps, choose.integer(6) === 0 ? choose.integer(40_000) : 0));
    if (step % 5 === 0) {
      facts({
        type: 'checkpoint.saved',
        ...at,
        data: { trainerEvent: step, step, path: `checkpoint-${step}`, bytes: 1 },
      });
    }
  }
  for (const budget of [256, 512, 1024, 2048]) {
    facts({ type: 'metric.measured', ...at, data: { name: `accuracy@${budget}`, value: budget / 4096, count: 200 } });
  }
  facts({ type: 'run.completed', data: { runId: 'torture', reportPath: null, metrics: {}, outputs, seconds: 60 } });
  return bursts;
}

function stepTelemetry(step: number, totalSteps: number, logBytes: number): readonly EventDraft[] {
  const at = { stage: 'tuned', attempt: 1 };
  const logged: EventDraft = {
    type: 'step.logged',
    ...at,
    data: {
      trainerEvent: step,
      step,
      totalSteps,
      epoch: step / totalSteps,
      loss: step === 3 ? null : 2 / step,
      learningRate: 1e-4,
      gradientNorm: 1,
      tokensSeen: step * 2048,
      tokensPerSecond: 400,
      peakMemoryBytes: 2 ** 30,
      rerun: false,
    },
  };
  if (logBytes === 0) return [logged];
  const message = `step ${step} ${'ün'.repeat(logBytes / 3)}`;
  return [logged, { type: 'log.written', ...at, data: { level: 'info', source: 'trainer student', message } }];
}
