import { z } from 'zod';
import { capabilities } from '../../trainer/wire-enums.js';
import { messageFaults } from './training-rows.js';

/** What a fake trainer can be told to do against the contract, each one way to break it. */
export const violations = [
  // Starting and describing.
  'printsOnStdout',
  'namelessDescription',
  'unhealthy',
  'ignoresToken',
  'answersUndeclared',
  // Attempts and their events.
  'startsTwice',
  'runsSeveral',
  'startsLate',
  'endsLate',
  'leavesNoModel',
  'namesAnotherFolder',
  'leavesInitialModel',
  'miscounts',
  'logsEveryStep',
  // Evaluations.
  'ignoresEvaluation',
  'tellsAllBest',
  'evaluatesTrainingRows',
  'evaluatesWithDropout',
  'ignoresEarlyStopping',
  'ignoresMinImprovement',
  'ignoresKeepBest',
  'keepsLastAsBest',
  // Watching.
  'repeatsOnReattach',
  'forgetsTooMuch',
  'invents',
  'diesWithStream',
  'servesOneWatcher',
  // Hyperparameters.
  'ignoresEpochs',
  'dropsLastBatch',
  'ignoresSequenceLength',
  'ignoresTruncatedShare',
  'ignoresPrecision',
  'tellsOnlyThePrecision',
  'ignoresDeviceBatch',
  'averagesMeans',
  'sumsPasses',
  'ignoresLossRise',
  'ignoresMethod',
  'ignoresRank',
  'ignoresAlpha',
  'ignoresLoraDropout',
  'ignoresTargetModules',
  'ignoresWarmup',
  'ignoresSchedule',
  'tellsOnlyTheRate',
  'ignoresSeed',
  'ignoresBeta2',
  'ignoresWeightDecay',
  'couplesWeightDecay',
  'ignoresClipping',
  'clipsToNothing',
  'tellsClippedNorm',
  // Ending.
  'slowCancel',
  'cancelsWithoutCheckpoint',
  'ignoresLease',
  'outlivesShutdown',
  // Checkpoints and kills.
  'answersBeforeCheckpoint',
  'keepsAllCheckpoints',
  'ignoresSeconds',
  'ignoresKeptSteps',
  'losesJournal',
  'forgetsReruns',
  'resumesFromAnything',
  'acceptsStale',
  'ignoresClaim',
  // Requests.
  'acceptsNonsense',
  'writesOutside',
  'stumblesOverMessages',
  ...messageFaults,
  'trainsOnNothing',
  'refusesAsInternal',
  'ignoresExtensions',
  // Other calls.
  'trainsPrompts',
  'samplesTwice',
  'overthinks',
  'drawsAnew',
  'generatesOn',
  'ignoresBackpressure',
  'acceptsTooMuch',
  'exportsNothing',
] as const;

export type Violation = (typeof violations)[number];

/** How a fake trainer misbehaves, for tests of what must survive it, and of what must find it out. */
export const misbehaviorSchema = z.strictObject({
  stepMilliseconds: z.number().min(0).default(0).describe('How long one training step takes.'),
  sampleMilliseconds: z.number().min(0).default(0).describe('How long one generated sample takes.'),
  startMilliseconds: z.number().min(0).default(0).describe('How long it takes until it serves.'),
  crashAtStep: z.number().int().min(1).optional().describe('Kills itself with SIGKILL after this training step.'),
  crashAtSample: z.number().int().min(1).optional().describe('Kills itself after so many samples of one process.'),
  crashes: z.number().int().min(1).default(1).describe('How often it crashes; then it behaves.'),
  hangAtStep: z.number().int().min(1).optional().describe('Stops at this step and heeds no cancellation.'),
  holdAfterSteps: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe('After so many steps of one process it waits, once, until it is canceled or watched anew.'),
  failAtStep: z.number().int().min(1).optional().describe('Reports training_failed (out_of_memory) at this step.'),
  diverges: z.boolean().default(false).describe('Gives another loss each time that a step runs.'),
  handshake: z.string().optional().describe('Printed instead of the handshake line.'),
  exitCode: z.number().int().optional().describe('Exits with this code at once.'),
  wordsPerSample: z.number().int().min(1).default(24).describe('About how many words it thinks where it may.'),
  lacks: z
    .array(z.enum(capabilities.names))
    .default([])
    .describe('Capabilities that it does not declare, and whose calls it refuses.'),
  refuses: z.array(z.string()).default([]).describe('Hyperparameters that it says it cannot honour.'),
  breaks: z.enum(violations).optional().describe('The clause of the contract that it breaks.'),
});

export type Misbehavior = z.output<typeof misbehaviorSchema>;
