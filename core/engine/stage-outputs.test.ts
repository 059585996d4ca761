import { Observable, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Artifact, ArtifactType } from '../artifacts/artifact.js';
import type { OutputDefinitions, StageEmission, StageEvent, StageRun } from '../plugin/definitions.js';
import { checkStageOutputs, followStageRun } from './stage-outputs.js';

const artifact = (type: ArtifactType): Artifact => ({ uri: `simmer://${type}/sha256-00`, type }) as unknown as Artifact;
const measured = (name: string): StageEvent => ({ type: 'metric.measured', data: { name, value: 1 } });
const never = new AbortController().signal;

/** Follows a run; says what it emitted and gave. */
async function follow(run: StageRun<OutputDefinitions>, signal = never) {
  const emitted: StageEvent[] = [];
  const outputs = await followStageRun(run, async (event) => void emitted.push(event), signal);
  return { emitted, outputs };
}

describe('what a stage returns', () => {
  const outputs = { model: artifact('model') };

  it('may be a promise of its outputs', async () => {
    expect(await follow(Promise.resolve(outputs))).toEqual({ emitted: [], outputs });
  });

  it('may be an async iterable, of which nothing is pulled before the last event is durable', async () => {
    const order: string[] = [];
    async function* run(): AsyncIterable<StageEmission<OutputDefinitions>> {
      order.push('makes a');
      yield measured('a');
      order.push('makes b');
      yield measured('b');
      yield { outputs };
    }
    const given = await followStageRun(
      run(),
      async (event) => {
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`kept ${(event.data as { name: string }).name}`);
      },
      never,
    );
    expect(given).toBe(outputs);
    expect(order).toEqual(['makes a', 'kept a', 'makes b', 'kept b']);
  });

  it('may be an observable, subscribed to once', async () => {
    let subscriptions = 0;
    const run = new Observable<StageEmission<OutputDefinitions>>((subscriber) => {
      subscriptions += 1;
      return of(measured('a'), measured('b'), { outputs }).subscribe(subscriber);
    });
    expect(await follow(run)).toEqual({ emitted: [measured('a'), measured('b')], outputs });
    expect(subscriptions).toBe(1);
  });

  it('as an observable is let go of when the run is stopped', async () => {
    const stop = new AbortController();
    let isLetGo = false;
    const run = new Observable<StageEmission<OutputDefinitions>>(() => () => {
      isLetGo = true;
    });
    const followed = follow(run, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(followed).rejects.toThrow('stopped');
    expect(isLetGo).toBe(true);
  });

  it('fails as it fails, whatever it is', async () => {
    const boom = new Error('boom');
    // biome-ignore lint/correctness/useYield: it fails before it gives anything
    async function* run(): AsyncIterable<StageEmission<OutputDefinitions>> {
      throw boom;
    }
    await expect(follow(run())).rejects.toBe(boom);
    await expect(follow(Promise.reject(boom))).rejects.toBe(boom);
    await expect(follow(new Observable((subscriber) => subscriber.error(boom)))).rejects.toBe(boom);
  });

  it.each([
    ['the outputs themselves', outputs, 'Its `run` returned a map, where a promise is expected.'],
    ['nothing', undefined, 'Its `run` returned nothing, where a promise is expected.'],
  ])('may not be %s', async (_, run, message) => {
    await expect(follow(run as never)).rejects.toThrow(message);
  });

  it('has whatever is no outputs checked as an event', async () => {
    const emitted: unknown[] = [];
    await followStageRun(of('hello') as never, async (event) => void emitted.push(event), never);
    expect(emitted).toEqual(['hello']);
  });

  it('ends with its outputs', async () => {
    const run = of({ outputs }, measured('late')) as StageRun<OutputDefinitions>;
    await expect(follow(run)).rejects.toMatchObject({ code: 'stage_emitted_after_outputs' });
  });
});

describe('the outputs of a stage', () => {
  const declared: OutputDefinitions = { model: { type: 'model', description: 'The model.' } };

  it.each([
    ['left out', {}, 'stage_output_missing'],
    ['no artifact', { model: { folder: '/tmp' } as unknown as Artifact }, 'stage_output_missing'],
    ['of another type', { model: artifact('dataset') }, 'stage_output_wrong_type'],
    ['not declared', { model: artifact('model'), more: artifact('model') }, 'stage_output_undeclared'],
  ])('are refused where one is %s', (_, outputs, code) => {
    expect(() => checkStageOutputs(outputs, declared)).toThrow(expect.objectContaining({ code, kind: 'runFailed' }));
  });

  it.each([
    ['a promise', { model: Promise.resolve() }, 'Its output "model" is a promise.', 'Await it'],
    [
      'something else',
      { model: [1] },
      'Its output "model" is a list, no artifact.',
      'an artifact that context.artifacts',
    ],
    ['what a generator returned', {}, 'It did not return its output "model".', '`yield { outputs: … }`'],
  ])('are refused with what to do where one is %s', (_, outputs, message, hint) => {
    expect(() => checkStageOutputs(outputs as never, declared)).toThrow(
      expect.objectContaining({ message, hint: expect.stringContaining(hint) }),
    );
  });

  it('are taken as declared', () => {
    const model = artifact('model');
    expect([...checkStageOutputs({ model }, declared)]).toEqual([['model', model]]);
  });
});
