import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Artifact,
  type Event,
  type EventDraft,
  type Row,
  random,
  type SinkContext,
  type TableArtifact,
} from 'simmerkit';

/** A made-up run, as a run folder with events and artifacts: for the tests of this page and for nothing else. */
interface FixtureRun {
  readonly events: readonly Event[];
  readonly context: SinkContext;
}

const maxima = [32, 64, 96, 128];

/** The fixture's comparison with a second tuned model, as another stage would have made it. */
export function comparisonOfThree() {
  const { models, runs, differences, ...rest } = comparisonOf();
  const asLora = <T extends object>(one: T) => JSON.parse(JSON.stringify(one).replaceAll('"tuned"', '"lora"')) as T;
  return {
    ...rest,
    models: { untuned: ['untuned'], tuned: ['tuned', 'lora'] },
    runs: [...runs, ...runs.filter(({ model }) => model === 'tuned').map((run) => ({ ...asLora(run), role: 'tuned' }))],
    differences: [...differences, ...differences.map(asLora)],
  };
}

/** @param hostileText put into every place that a model or a user writes */
export async function fixtureRun(runFolder: string, hostileText = ''): Promise<FixtureRun> {
  await mkdir(runFolder, { recursive: true });
  await writeFile(join(runFolder, 'recipe.yaml'), `name: fixture ${hostileText}\nseed: 7\n`);
  await writeFile(
    join(runFolder, 'plan.json'),
    JSON.stringify({ format: 1, recipe: 'fixture', recipeFolder: runFolder, plugins: {}, stages: [] }),
  );
  const draws = random(7, 'report fixture');
  const artifacts = new Map<string, Artifact>();
  const graded = { untuned: gradedRows('untuned', 0.08, hostileText), tuned: gradedRows('tuned', 0.35, hostileText) };
  for (const [model, rows] of Object.entries(graded)) {
    artifacts.set(`simmer://dataset/${model}`, table(`simmer://dataset/${model}`, rows));
  }
  const comparisonFile = join(runFolder, 'report.json');
  await writeFile(comparisonFile, JSON.stringify(comparisonOf()));
  artifacts.set('simmer://report/comparison', {
    uri: 'simmer://report/comparison' as Artifact['uri'],
    type: 'report',
    metadata: {},
    folder: runFolder,
    files: [],
    path: () => comparisonFile,
  });

  const drafts: EventDraft[] = [
    {
      type: 'run.created',
      data: {
        format: 1,
        simmerVersion: '0.1.0',
        recipe: `fixture ${hostileText}`,
        planDigest: 'ab'.repeat(32),
        seed: 7,
      },
    },
    { type: 'run.started', data: { pid: 1, host: 'here', resumed: false } },
    {
      type: 'funnel.counted',
      stage: 'clean',
      data: { step: 'decontaminate', rowsIn: 1400, rowsOut: 1312, dropped: { ngram: 88 } },
    },
    {
      type: 'funnel.counted',
      stage: 'chosen',
      data: { step: 'select', rowsIn: 1312, rowsOut: 1000, dropped: { not_drawn: 312 } },
    },
    {
      type: 'stage.completed',
      stage: 'chosen',
      data: { uses: 'curation/select', key: 'c', outputs: {}, seconds: 0.4, peakMemoryBytes: 2e8 },
    },
    ...Array.from(
      { length: 120 },
      (_, index): EventDraft => ({
        type: 'step.logged',
        stage: 'sft',
        data: {
          trainerEvent: index + 2,
          step: index + 1,
          totalSteps: 120,
          epoch: index / 120,
          loss: 1.6 * Math.exp(-index / 25) + 0.25 + draws.next() * 0.15,
          learningRate: 3e-4,
          gradientNorm: 1,
          tokensSeen: index * 900,
          tokensPerSecond: 420,
          peakMemoryBytes: 4e9,
          rerun: false,
        },
      }),
    ),
    { type: 'checkpoint.saved', stage: 'sft', data: { trainerEvent: 130, step: 60, path: '/x', bytes: 5e8 } },
    {
      type: 'stage.completed',
      stage: 'sft',
      data: { uses: 'sft/train', key: 's', outputs: {}, seconds: 312, peakMemoryBytes: 4.4e9 },
    },
    {
      type: 'stage.completed',
      stage: 'grades',
      data: {
        uses: 'eval/grade',
        key: 'g',
        outputs: { untuned: 'simmer://dataset/untuned', tuned: 'simmer://dataset/tuned' },
        seconds: 2,
        peakMemoryBytes: 3e8,
      },
    },
    {
      type: 'metric.measured',
      stage: 'grades',
      data: {
        name: 'tuned.accuracy@128',
        value: 0.82,
        interval: [0.76, 0.87],
        count: 200,
        unit: 'share',
        labels: { model: 'tuned', policy: '128', method: 'budget-forcing', maxThinkingTokens: 128, ignore: 0 },
      },
    },
    {
      type: 'stage.completed',
      stage: 'verdict',
      data: {
        uses: 'eval/compare',
        key: 'v',
        outputs: { report: 'simmer://report/comparison' },
        seconds: 1,
        peakMemoryBytes: 3e8,
      },
    },
  ];
  const start = Date.UTC(2026, 0, 1, 12);
  const events = drafts.map((draft, index) => ({
    runId: 'fixture-20260101-120000-0000',
    sequence: index + 1,
    time: new Date(start + index * 3000).toISOString(),
    ...draft,
  })) as Event[];
  const quiet = { debug: () => {}, info: () => {}, warning: () => {}, error: () => {} };
  return {
    events,
    context: {
      runId: 'fixture-20260101-120000-0000',
      runFolder,
      recipeFolder: runFolder,
      log: quiet,
      openArtifact: async (uri) => artifacts.get(uri) as Artifact,
      eventsOf: async function* () {},
    },
  };
}

function table(uri: string, rows: readonly Row[]): TableArtifact {
  return {
    uri: uri as Artifact['uri'],
    type: 'dataset',
    metadata: {},
    folder: '',
    files: [],
    path: () => '',
    rowCount: rows.length,
    columns: Object.fromEntries(Object.keys(rows[0] ?? {}).map((name) => [name, 'VARCHAR'])),
    rows: async function* () {
      yield* rows;
    },
  };
}

function gradedRows(model: string, base: number, hostileText: string): Row[] {
  const policies = [...maxima.map((max) => ({ max, ignore: 0 })), { max: 128, ignore: 1 }, { max: 128, ignore: 2 }];
  return policies.flatMap(({ max, ignore }) =>
    Array.from({ length: 40 }, (_, problem): Row => {
      const hash = createHash('sha256').update(`${model} ${problem}`).digest()[0] ?? 0;
      const right = hash / 256 < base + max / 300;
      const thinking = `Start: 1${problem}\nMia finds 5: 1${problem} + 5 = ${problem + 15}${ignore > 0 ? '\nWait, 15.' : ''}${hostileText}`;
      return {
        prompt_id: `p${problem}`,
        question: `Mia has 1${problem} marbles. ${hostileText} How many are there?`,
        gold: `${problem + 15}`,
        model,
        policy: ignore === 0 ? `${max}` : `${max}+${ignore}xWait`,
        method: 'budget-forcing',
        max_thinking_tokens: max,
        ignore_end_count: ignore,
        sample_index: 0,
        thinking,
        answer: max === 32 ? `Final Answer: ${problem}` : `Answer: ${problem + 15}`,
        thinking_tokens: 20 + ignore,
        thinking_end: max === 32 ? 'forced' : 'natural',
        verdict: right ? 'right' : 'wrong',
        extracted: `${problem}${hostileText}`,
        interventions: [
          ...(ignore > 0
            ? [{ kind: 'extended', position: 18, text: 'Wait', character_offset: thinking.indexOf('Wait') }]
            : []),
          ...(max === 32
            ? [
                {
                  kind: 'ended',
                  position: 32,
                  text: '<|im_start|>answer\nFinal Answer:',
                  character_offset: thinking.length,
                },
              ]
            : []),
        ],
      };
    }),
  );
}

function comparisonOf() {
  const accuracies = { untuned: [0.06, 0.08, 0.1, 0.11], tuned: [0.44, 0.61, 0.74, 0.82] };
  const run = (role: 'untuned' | 'tuned', max: number, ignore: number, accuracy: number) => ({
    role,
    model: role,
    policy: ignore === 0 ? `${max}` : `${max}+${ignore}xWait`,
    method: 'budget-forcing',
    maxThinkingTokens: max as number | null,
    ignore,
    word: 'Wait',
    problems: 200,
    samples: 800,
    accuracy,
    interval: [accuracy - 0.05, accuracy + 0.05],
    meanThinkingTokens: role === 'untuned' ? max * 0.96 : Math.min(max * 0.9, 74) + ignore * 4,
    meanAnswerTokens: 9,
    unparsedShare: 0.01,
    forcedEndShare: 0.2,
    extendedShare: ignore > 0 ? 0.9 : 0,
    finishedShare: 0.8,
    answerCutShare: 0,
  });
  const runs = (['untuned', 'tuned'] as const).flatMap((role) => [
    ...maxima.map((max, index) => run(role, max, 0, accuracies[role][index] ?? 0)),
    run(role, 128, 1, (accuracies[role][3] ?? 0) - 0.02),
    run(role, 128, 2, (accuracies[role][3] ?? 0) - 0.03),
  ]);
  const method = (name: string, policy: string, limit: number | null, tokens: number, accuracy: number) => ({
    ...run('tuned', 128, 0, accuracy),
    method: name,
    policy,
    maxThinkingTokens: limit,
    meanThinkingTokens: tokens,
  });
  runs.push(
    method('token-conditional', 'tokens64', 64, 71, 0.6),
    method('token-conditional', 'tokens128', 128, 78, 0.7),
    method('token-conditional+forced', 'tokens64+forced', 64, 60, 0.58),
    method('token-conditional+forced', 'tokens128+forced', 128, 76, 0.71),
    method('class-conditional', 'short', null, 55, 0.57),
    method('class-conditional', 'long', null, 83, 0.72),
    method('rejection', 'reject64', 64, 48, 0.66),
    method('rejection', 'reject128', 128, 70, 0.6),
    method('majority', '128+maj8', 128, 600, 0.86),
  );
  const difference = (kind: string, from: [string, string], to: [string, string], value: number) => ({
    name: `${to.join('@')}-${from.join('@')}`,
    kind,
    from: { model: from[0], policy: from[1] },
    to: { model: to[0], policy: to[1] },
    difference: value,
    interval: [value - 0.06, value + 0.06],
    problems: 200,
    wrongToRight: 12,
    rightToWrong: 16,
  });
  return {
    format: 1,
    kind: 'comparison',
    draws: 10000,
    models: { untuned: 'untuned', tuned: 'tuned' },
    runs,
    differences: [
      difference('model', ['untuned', '128'], ['tuned', '128'], 0.71),
      difference('maximum', ['tuned', '32'], ['tuned', '128'], 0.38),
      difference('waits', ['tuned', '128'], ['tuned', '128+1xWait'], -0.02),
      difference('waits', ['tuned', '128'], ['tuned', '128+2xWait'], -0.03),
    ],
    scaling: [
      {
        model: 'tuned',
        series: 'maxima',
        runs: 4,
        control: 1,
        scalingPerToken: 0.00672,
        scalingPerDoubling: 30.2,
        performance: 0.82,
      },
    ],
  };
}
