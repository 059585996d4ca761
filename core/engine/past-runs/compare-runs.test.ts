import { describe, expect, it } from 'vitest';
import { UserError } from '../../errors.js';
import type { Event, EventDraft } from '../../events/catalogue.js';
import type { Json, Plan } from '../../recipe/plan.js';
import type { RunSummary } from '../run-outcome.js';
import { compareRuns, type RunsSource } from './compare-runs.js';

interface Given {
  readonly recipe?: string;
  readonly seed?: number;
  readonly params?: Plan['params'];
  readonly options?: { readonly [key: string]: Json };
  readonly versions?: Readonly<Record<string, string>>;
  /** Digest of the code of stages. */
  readonly code?: string;
  readonly simmerVersion?: string;
  /** Names of further stages. */
  readonly more?: readonly string[];
  readonly until?: string;
}

/** What of a run is looked at: its plan and its log. */
interface TestRun {
  readonly plan: Plan;
  readonly events: readonly Event[];
}

const options = { rate: 1, lora: { rank: 8, targets: ['q', 'v'] } };

function plan({
  recipe = 'r',
  seed = 7,
  params = {},
  options: given = options,
  versions = {},
  code = 'c0de',
  simmerVersion = '1',
  more = [],
  until,
}: Given): Plan {
  const stage = { name: 'tuned', uses: 'sft/train', semanticOptions: given, options: given, seed, codeDigest: code };
  const nothing = { semanticOptions: {}, options: {} };
  const trainer = { name: 'student', uses: 'a/b', ...nothing, relevantVersions: versions, codeDigest: 'c0de' };
  const rest = { format: 1, simmerVersion, recipeFolder: '/', plugins: {}, sinks: [], ...(until && { until }) };
  const stages = [stage, ...more.map((name) => ({ ...stage, name }))];
  return { ...rest, recipe, seed, params, trainers: { student: trainer }, stages } as unknown as Plan;
}

function log(...drafts: readonly EventDraft[]): readonly Event[] {
  const created: EventDraft = { type: 'run.created', data: { recipe: 'r', planDigest: '' } as never };
  return [created, ...drafts].map((draft, index) => {
    const time = new Date(1000 * index).toISOString();
    return { runId: 'r', sequence: index + 1, time, ...draft } as Event;
  });
}

const started = (key: string) => draft('stage.started', { uses: 'sft/train', key });
const step = (at: number, loss: number | null) => draft('step.logged', { step: at, loss });
const draft = (type: string, data: object) => ({ type, stage: 'tuned', data }) as unknown as EventDraft;

async function compared(
  runs: Readonly<Record<string, TestRun>>,
  names = Object.keys(runs),
  optional: readonly string[] = [],
) {
  const reads: string[] = [];
  const summary = (runId: string) => ({ runId, recipe: 'r', status: 'completed', startedAt: '' }) as RunSummary;
  const source: RunsSource = {
    planOf: async ({ runId }) => runs[runId]!.plan,
    async *briefHistory({ runId }) {
      reads.push(runId);
      yield* runs[runId]!.events;
    },
    find: async (runId) => {
      if (!(runId in runs)) throw new UserError('run_not_found', 'It is gone.');
      return summary(runId);
    },
  };
  const result = await compareRuns(names.map(summary), source, new Set(optional));
  return { result, reads };
}

async function differences(...given: readonly Given[]) {
  const { result } = await compared(
    Object.fromEntries(given.map((each, index) => [`${index}`, { plan: plan(each), events: log() }])),
  );
  return result.map(({ differs }) => differs);
}

describe('what differs between runs', () => {
  it('is nothing where they are the same', async () => {
    expect(await differences({}, {})).toEqual([{}, {}]);
  });

  it('names a stage that a run does not have once, and what of it the others do not share', async () => {
    const [first, second] = [{ rank: 8 }, { rank: 16 }];
    expect(
      await differences({ options: first }, { options: first, more: ['again'] }, { options: second, more: ['again'] }),
    ).toEqual([
      { 'stages.tuned.with.rank': 8, 'stages.again.uses': null },
      { 'stages.tuned.with.rank': 8, 'stages.again.uses': 'sft/train', 'stages.again.with.rank': 8 },
      { 'stages.tuned.with.rank': 16, 'stages.again.uses': 'sft/train', 'stages.again.with.rank': 16 },
    ]);
  });

  it('names the stages whose code is another one, such as that of a grader, but not beside another Simmer', async () => {
    const [before, after] = [`${'a'.repeat(12)}0`, `${'b'.repeat(12)}0`];
    expect(await differences({ code: before }, { code: after, more: ['again'] })).toEqual([
      { 'stages.tuned.code': 'a'.repeat(12), 'stages.again.uses': null },
      { 'stages.tuned.code': 'b'.repeat(12), 'stages.again.uses': 'sft/train' },
    ]);
    expect(await differences({ code: before, more: ['again'] }, { code: after, more: ['again'] })).toEqual([
      { 'stages.tuned.code': 'a'.repeat(12) },
      { 'stages.tuned.code': 'b'.repeat(12) },
    ]);
    expect(await differences({ code: before }, { code: after, simmerVersion: '2' })).toEqual([
      { simmerVersion: '1' },
      { simmerVersion: '2' },
    ]);
  });

  it('is no code beside the grader that is another one, so that runs can be grouped over it', async () => {
    const grading = (uses: string) => ({ options: { grader: { uses } }, code: uses.repeat(12) });
    expect(await differences(grading('a/b'), grading('c/d'), grading('c/d'))).toEqual(
      ['a/b', 'c/d', 'c/d'].map((uses) => ({ 'stages.tuned.with.grader.uses': uses })),
    );
  });

  it('names up to which stage a run went, and not one by one what that left out', async () => {
    const more = ['again', 'later'];
    expect(await differences({ more }, { until: 'tuned' }, { more: ['again'], options: { rank: 8 } })).toMatchObject([
      { until: null, 'stages.later.uses': 'sft/train' },
      { until: 'tuned' },
      { until: null, 'stages.later.uses': null },
    ]);
    expect(await differences({ more }, { until: 'tuned' })).toEqual([{ until: null }, { until: 'tuned' }]);
  });

  it('is the value of a param alone, also where a run does not have the stage that takes it', async () => {
    const of = (rate: number) => ({ params: { rate }, options: {} });
    const taking = { name: 'later', uses: 'a/b', semanticOptions: { rate: 2 }, options: { rate: 2 } };
    const [first] = plan(of(2)).stages;
    const later = { ...plan(of(2)), stages: [first, { ...first, ...taking }] } as unknown as Plan;
    const { result } = await compared({
      a: { plan: plan(of(1)), events: log() },
      b: { plan: later, events: log() },
    });
    expect(result.map(({ differs }) => differs)).toEqual([
      { 'params.rate': 1, 'stages.later.uses': null },
      { 'params.rate': 2, 'stages.later.uses': 'a/b' },
    ]);
  });

  it('is named by its path in the recipe, as deep as it lies, and null where there is none', async () => {
    expect(
      await differences({ options: { lora: { rank: 8 } } }, { options: { lora: { rank: 16, targets: ['q'] } } }),
    ).toEqual([
      { 'stages.tuned.with.lora.rank': 8, 'stages.tuned.with.lora.targets': null },
      { 'stages.tuned.with.lora.rank': 16, 'stages.tuned.with.lora.targets': ['q'] },
    ]);
  });

  it('is what is given, and not what follows from it', async () => {
    expect(
      await differences({ params: { rate: 1 }, options: { rate: 1 } }, { params: { rate: 2 }, options: { rate: 2 } }),
    ).toEqual([{ 'params.rate': 1 }, { 'params.rate': 2 }]);
    expect(await differences({ seed: 7 }, { seed: 8 })).toEqual([{ seed: 7 }, { seed: 8 }]);
  });

  it('is an option beside a param that has nothing to do with it', async () => {
    const given = [
      { params: { count: 50 }, options: { rate: 1 } },
      { params: { count: 60 }, options: { rate: 2 } },
    ];
    expect(await differences(...given)).toEqual([
      { 'params.count': 50, 'stages.tuned.with.rate': 1 },
      { 'params.count': 60, 'stages.tuned.with.rate': 2 },
    ]);
  });

  it('is of recipes of two names what both have', async () => {
    expect(await differences({ options: { rate: 1, own: 1 } }, { recipe: 'other', options: { rate: 2 } })).toEqual([
      { recipe: 'r', 'stages.tuned.with.rate': 1 },
      { recipe: 'other', 'stages.tuned.with.rate': 2 },
    ]);
  });

  it('is both where one of several runs has an option of its own', async () => {
    const given = [
      { params: { rate: 1 }, options: { rate: 1 } },
      { params: { rate: 2 }, options: { rate: 2 } },
      { params: { rate: 2 }, options: { rate: 3 } },
    ];
    expect(await differences(...given)).toEqual(
      given.map(({ params, options: { rate } }) => ({ 'params.rate': params.rate, 'stages.tuned.with.rate': rate })),
    );
  });

  it('is a version of what a trainer uses', async () => {
    expect(await differences({ versions: { torch: '2' } }, { versions: { torch: '3' } })).toEqual([
      { 'trainers.student.versions.torch': '2' },
      { 'trainers.student.versions.torch': '3' },
    ]);
  });
});

describe('what runs came to', () => {
  const trained = log(
    started('k'),
    step(1, 3),
    step(2, 2),
    draft('evaluation.logged', { step: 2, loss: 2.5 }),
    step(3, 1),
  );
  const reused = log(draft('stage.reused', { uses: 'sft/train', key: 'k', outputs: {}, madeBy: 'first' }));

  it('has the last losses of a training, also where it went on after a resume', async () => {
    const resumed = log(started('k'), step(1, 3), step(2, 2), started('k'), step(2, 2), step(3, null));
    const { result } = await compared({
      first: { plan: plan({}), events: trained },
      second: { plan: plan({}), events: resumed },
    });
    expect(result.map(({ trainings }) => trainings)).toEqual([
      { tuned: { steps: 3, loss: 1, evaluationLoss: 2.5 } },
      { tuned: { steps: 3, loss: null } },
    ]);
  });

  it('is that of the run that made a model, each log read once', async () => {
    const runs = {
      first: { plan: plan({}), events: trained },
      second: { plan: plan({}), events: reused },
      third: { plan: plan({}), events: reused },
    };
    const { result, reads } = await compared(runs, ['second', 'third']);
    expect(result.map(({ trainings }) => trainings.tuned?.loss)).toEqual([1, 1]);
    expect(reads).toEqual(['second', 'first', 'third']);
  });

  it('is measured in the order of the recipe, whichever stage ended first', async () => {
    const measured = (stage: string) => ({
      ...draft('metric.measured', { name: `${stage}.accuracy`, value: 1 }),
      stage,
    });
    const [stage] = plan({}).stages;
    const stages = ['before', 'after'].map((name) => ({ ...stage!, name }));
    const run = { plan: { ...plan({}), stages }, events: log(measured('after'), measured('before')) };
    const { result } = await compared({ first: run, second: run });
    expect(result.map(({ metrics }) => Object.keys(metrics))).toEqual(
      Array(2).fill(['before.accuracy', 'after.accuracy']),
    );
  });

  it('is not known where that run is gone', async () => {
    const run = { plan: plan({}), events: reused };
    expect((await compared({ second: run, third: run })).result.map(({ trainings }) => trainings)).toEqual([{}, {}]);
  });
});

describe('runs that trained and measured nothing', () => {
  const trained = { plan: plan({}), events: log(started('key'), step(1, 0.5)) };
  const failed = { plan: plan({ options: { rate: 9 }, more: ['again'] }), events: log() };
  const namesOf = async (runs: Readonly<Record<string, TestRun>>, optional: readonly string[]) => {
    const { result } = await compared(runs, Object.keys(runs), optional);
    return result.map(({ runId }) => runId);
  };

  it('are left out where they were not named and others have figures, and differ in nothing then', async () => {
    const { result } = await compared({ a: trained, b: failed, c: trained }, ['a', 'b', 'c'], ['a', 'b', 'c']);
    expect(result.map(({ runId, differs }) => [runId, differs])).toEqual([
      ['a', {}],
      ['c', {}],
    ]);
  });

  it('stay where they were named, or where nothing else is to be compared', async () => {
    expect(await namesOf({ a: trained, b: failed, c: trained }, ['a', 'c'])).toEqual(['a', 'b', 'c']);
    expect(await namesOf({ a: trained, b: failed }, ['a', 'b'])).toEqual(['a', 'b']);
  });
});
