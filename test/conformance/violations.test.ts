import { checkNames, fakeTrainerProgram, type Misbehavior, verifyTrainer, violations } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';

/** Runs the suite on the fake trainer. Returns the checks that failed. */
async function failures(misbehavior: Partial<Misbehavior>, only?: readonly string[]) {
  const { results } = await verifyTrainer({
    command: [process.execPath, fakeTrainerProgram()],
    env: { SIMMER_FAKE_TRAINER: JSON.stringify({ stepMilliseconds: 2, ...misbehavior }) },
    ...(only === undefined ? {} : { only }),
  });
  return results.filter(({ status }) => status !== 'passed' && status !== 'notDeclared');
}

/** Which checks find each violation out: these, and no others. */
const found: Readonly<Record<(typeof violations)[number], readonly string[]>> = {
  printsOnStdout: ['stdout'],
  namelessDescription: ['describe'],
  unhealthy: ['health'],
  ignoresToken: ['token'],
  answersUndeclared: ['undeclared'],
  startsTwice: ['start-twice'],
  runsSeveral: ['one-at-a-time'],
  startsLate: ['event-order'],
  endsLate: [
    ...['one-at-a-time', 'trained-model', 'evaluation-data', 'keep-best', 'truncation', 'truncated-share', 'precision'],
    ...['device-batch', 'data-order', 'learning-rate', 'adam', 'weight-decay', 'gradient-clipping', 'lora'],
    ...['tools', 'weights', 'damaged-checkpoint'],
  ],
  leavesNoModel: ['final-model', 'trained-model', 'keep-best', 'determinism'],
  namesAnotherFolder: ['final-model', 'trained-model', 'keep-best'],
  leavesInitialModel: ['trained-model'],
  miscounts: ['figures'],
  logsEveryStep: ['log-schedule'],
  ignoresEvaluation: ['evaluation', 'evaluation-data', 'early-stopping', 'keep-best'],
  tellsAllBest: ['evaluation'],
  evaluatesTrainingRows: ['evaluation-data'],
  evaluatesWithDropout: ['evaluation-data'],
  ignoresEarlyStopping: ['early-stopping'],
  ignoresMinImprovement: ['early-stopping'],
  ignoresKeepBest: ['keep-best'],
  keepsLastAsBest: ['keep-best'],
  ignoresEpochs: ['epochs'],
  dropsLastBatch: ['epochs'],
  ignoresSequenceLength: ['truncation', 'truncated-share'],
  ignoresTruncatedShare: ['truncated-share'],
  ignoresPrecision: ['precision'],
  tellsOnlyThePrecision: ['precision'],
  ignoresDeviceBatch: ['device-batch'],
  averagesMeans: ['device-batch'],
  sumsPasses: ['device-batch'],
  ignoresLossRise: ['max-loss-rise'],
  ignoresMethod: ['adapter', 'lora'],
  ignoresRank: ['lora'],
  ignoresAlpha: ['lora'],
  ignoresLoraDropout: ['lora'],
  ignoresTargetModules: ['lora'],
  ignoresWarmup: ['learning-rate'],
  ignoresSchedule: ['learning-rate'],
  tellsOnlyTheRate: ['learning-rate'],
  ignoresSeed: ['data-order'],
  ignoresBeta2: ['adam'],
  ignoresWeightDecay: ['weight-decay'],
  couplesWeightDecay: ['weight-decay'],
  ignoresClipping: ['gradient-clipping'],
  clipsToNothing: ['gradient-clipping'],
  tellsClippedNorm: ['gradient-clipping'],
  repeatsOnReattach: ['reattach', 'outlives-stream'],
  forgetsTooMuch: ['acknowledge'],
  // It watches what was refused, too.
  invents: ['unknown-attempt', 'bad-input', 'extensions'],
  diesWithStream: ['outlives-stream'],
  servesOneWatcher: ['slow-watcher'],
  slowCancel: ['cancel'],
  cancelsWithoutCheckpoint: ['cancel-checkpoint'],
  ignoresLease: ['lease'],
  outlivesShutdown: ['shutdown'],
  answersBeforeCheckpoint: ['checkpoint-now'],
  keepsAllCheckpoints: ['checkpoint-schedule', 'checkpoints-kept'],
  ignoresSeconds: ['checkpoints-kept'],
  ignoresKeptSteps: ['checkpoints-kept'],
  // It does not know any more which steps ran before.
  losesJournal: ['journal-after-kill', 'resume'],
  forgetsReruns: ['resume'],
  resumesFromAnything: ['half-checkpoint', 'damaged-checkpoint'],
  acceptsStale: ['stale-attempts'],
  ignoresClaim: ['stale-process'],
  acceptsNonsense: ['bad-input'],
  writesOutside: ['bad-input'],
  stumblesOverMessages: ['messages', 'tools', 'weights'],
  leavesOutCalls: ['tools'],
  trainsResults: ['tools'],
  leavesOutTools: ['tools'],
  ignoresWeights: ['weights'],
  trainsOnNothing: ['bad-rows'],
  refusesAsInternal: ['bad-input', 'extensions', 'half-checkpoint'],
  ignoresExtensions: ['extensions'],
  trainsPrompts: ['inspect', 'inspect-trains'],
  samplesTwice: ['generate', 'generate-policies', 'generate-seeds'],
  overthinks: ['generate-policies'],
  drawsAnew: ['generate-seeds'],
  generatesOn: ['generate-cancel'],
  ignoresBackpressure: ['generate-backpressure'],
  acceptsTooMuch: ['generate-bad-input'],
  exportsNothing: ['export'],
};

/** Checks that need another process, or seconds. */
const slow: ReadonlySet<string> = new Set([
  ...['generate-backpressure', 'lease', 'token', 'stale-process', 'outlives-stream'],
  ...['journal-after-kill', 'resume', 'determinism', 'stale-attempts'],
]);
const triesAll = process.env.CI_FULL === '1';
const scope = triesAll ? 'every check' : `all checks but ${slow.size} slow ones, which CI_FULL=1 adds,`;

describe.concurrent(`the conformance suite, with ${scope} on each violation`, () => {
  it('lets the fake trainer pass, every check of it', async () => {
    expect(await failures({})).toEqual([]);
  });

  it('does not ask of a trainer what it does not declare, but that it says UNIMPLEMENTED', async () => {
    expect(await failures({ lacks: ['checkpoint', 'inspect', 'generate', 'export', 'deterministicResume'] })).toEqual(
      [],
    );
    const all = ['train', 'checkpoint', 'inspect', 'generate', 'export', 'deterministicResume'] as const;
    expect(await failures({ lacks: [...all] })).toEqual([]);
  });

  it('fails the handshake of one that prints another, and says of all else that it was not run', async () => {
    const results = await failures({ handshake: 'SIMMER-TRAINER|1|2|unix:/nowhere' });
    expect(results[0]).toMatchObject({ name: 'handshake', saw: expect.stringContaining('version 2 of the protocol') });
    expect(results.slice(1).every(({ status }) => status === 'notRun')).toBe(true);
  });

  it('shows what the trainer wrote to stderr where a check fails, and of one that passes nothing', async () => {
    const words = `data:text/javascript,process.stderr.write('its last words\\n')`;
    const verify = async (breaks: Misbehavior['breaks']) => {
      const { results } = await verifyTrainer({
        command: [process.execPath, '--import', words, fakeTrainerProgram()],
        env: { SIMMER_FAKE_TRAINER: JSON.stringify({ breaks }) },
        only: ['health'],
      });
      return results[0]?.stderr;
    };
    expect(await verify('unhealthy')).toBe('its last words');
    expect(await verify(undefined)).toBeUndefined();
  });

  it('says of each hyperparameter that a trainer refuses what it refuses', async () => {
    const refused = { maxTruncatedShare: 'truncated-share', maxLossRise: 'max-loss-rise' };
    const { results } = await verifyTrainer({
      command: [process.execPath, fakeTrainerProgram()],
      env: { SIMMER_FAKE_TRAINER: JSON.stringify({ refuses: Object.keys(refused) }) },
      only: Object.values(refused),
    });
    for (const name of Object.keys(refused)) {
      const saw = expect.stringContaining(`${name} is not honoured here`);
      expect(results).toContainEqual(expect.objectContaining({ status: 'passed', saw }));
    }
  });

  it('passes no check of one that refuses every training, and says which model to give it', async () => {
    const only = ['early-stopping', 'epochs', 'max-loss-rise', 'messages', 'checkpoints-kept'];
    const results = await failures({ refuses: ['learningRate'] }, only);
    expect(results.map(({ name }) => name).toSorted()).toEqual(only.toSorted());
    for (const { expected, saw } of results) {
      expect(expected).toContain('--model');
      expect(saw).toContain('learningRate is not honoured here');
    }
  });

  it('fails the losses of one that gives others each time, of which nothing can be told', async () => {
    const tried = checkNames.filter((name) => triesAll || !slow.has(name) || name === 'determinism');
    const results = await failures({ diverges: true }, tried);
    const untold = [
      ...['precision', 'data-order', 'learning-rate', 'adam', 'weight-decay', 'gradient-clipping', 'lora'],
    ];
    expect(results.map(({ name }) => name)).toEqual(['seeds', ...untold, 'determinism']);
    const found = results.filter(({ name }) => untold.includes(name));
    expect(found.every(({ expected }) => expected.includes('further from those with'))).toBe(true);
  });

  it.each(violations)(
    'finds out one that %s, and blames nothing else',
    async (breaks) => {
      const tried = checkNames.filter((name) => triesAll || !slow.has(name) || found[breaks][0] === name);
      const expected = found[breaks].filter((name) => tried.includes(name));
      const lacks: Misbehavior['lacks'] = breaks === 'answersUndeclared' ? ['inspect'] : [];
      // Long enough to be canceled.
      const sampleMilliseconds = breaks === 'generatesOn' ? 50 : 0;
      const results = await failures({ breaks, lacks, sampleMilliseconds }, tried);
      expect(
        results.map(({ name }) => name),
        JSON.stringify(results),
      ).toEqual(expected);
      for (const { expected: wanted, saw } of results) {
        expect(wanted.length).toBeGreaterThan(5);
        expect(saw?.length).toBeGreaterThan(0);
      }
    },
    300_000,
  );
});
