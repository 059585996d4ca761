import { status } from '@grpc/grpc-js';
import type { ResourcesNeeded } from '../../../core/generated/simmer/plugin/v1/planning.js';
import type {
  EstimateTrainerJobRequest,
  EstimateTrainerJobResponse,
  PrepareTrainerRequest,
  PrepareTrainerResponse,
  ReadTrainerVersionsRequest,
  ReadTrainerVersionsResponse,
  ResolveTrainerResourcesRequest,
  TrainerDescription,
} from '../../../core/generated/simmer/plugin/v1/trainer.js';
import type { Answer } from './fixture-planning.js';

/** What goes wrong with the trainer. */
export const trainerMisbehaviors = [
  'versions-crash',
  'versions-change',
  'trainer-estimate-rubbish',
  'prepare-crash',
  'prepare-hang',
  'prepare-refuse',
  'prepare-nothing',
  'prepare-nowhere',
  'prepare-any-trainer',
] as const;

/** A trainer whose program is an option: the fake one, in a test. */
export const trainerDescription: TrainerDescription = {
  name: 'program',
  description: 'Trains with a program that is given.',
  optionsSchema: {
    type: 'object',
    properties: {
      program: { type: 'string', default: 'none.js', description: 'The program, which Node runs.' },
      threads: { type: 'integer', default: 1, description: 'How many cores it takes.' },
    },
  },
  resolvesResources: true,
  hasEstimate: true,
  calibration: [
    { run: 'a run', source: 'a paper', isFit: true, unit: 'seconds', predicted: 11, published: 10 },
    { run: 'another', source: 'a paper', isFit: false, unit: 'seconds', predicted: 9, published: 10 },
  ],
};

const unknownTrainer = { error: { code: status.NOT_FOUND, details: 'There is no such trainer.' } };
let readings = 0;

export function versions(
  { trainer, options }: ReadTrainerVersionsRequest,
  misbehavior: string,
): Answer<ReadTrainerVersionsResponse> {
  if (trainer !== 'program') return unknownTrainer;
  if (misbehavior === 'versions-crash') process.exit(14);
  readings += 1;
  const version = misbehavior === 'versions-change' ? `1.${readings}` : '1.0';
  return { response: { versions: { program: `${options?.program} ${version}` } } };
}

export function trainerResources({
  trainer,
  options,
}: ResolveTrainerResourcesRequest): Answer<{ resources: ResourcesNeeded }> {
  if (trainer !== 'program') return unknownTrainer;
  return { response: { resources: { cpus: Number(options?.threads), nodes: 1 } } };
}

/** A second for each token of a generation, or for each row that is trained on; none of what it does not know. */
export function estimateJob(
  { trainer, job, place }: EstimateTrainerJobRequest,
  misbehavior: string,
): Answer<EstimateTrainerJobResponse> {
  if (trainer !== 'program') return unknownTrainer;
  const known = job?.$case === 'generation' ? Number(job.value.tokensPerPrompt) : Number(job?.value.data?.rows ?? 0);
  const seconds = misbehavior === 'trainer-estimate-rubbish' ? -1 : known;
  const notes = [`on ${place?.nodes} nodes with ${place?.gpus} GPUs`];
  return { response: { estimate: { seconds, time: [], isAtMost: false, memory: [], advice: [], figures: {}, notes } } };
}

/** @param tell says how far it is */
export async function prepare(
  { trainer, options, callId }: PrepareTrainerRequest,
  misbehavior: string,
  tell: (callId: string) => Promise<unknown>,
): Promise<Answer<PrepareTrainerResponse>> {
  if (trainer !== 'program' && misbehavior !== 'prepare-any-trainer') return unknownTrainer;
  if (misbehavior === 'prepare-crash') process.exit(15);
  if (misbehavior === 'prepare-hang') return 'none';
  if (misbehavior === 'prepare-refuse') return { error: { code: status.INTERNAL, details: 'no disk left' } };
  if (misbehavior === 'prepare-nothing') return { response: { command: { argv: [], env: {} } } };
  await tell(callId);
  const cwd = misbehavior === 'prepare-nowhere' ? { cwd: 'somewhere' } : {};
  const env = { SIMMER_FAKE_TRAINER: '{}' };
  return { response: { command: { argv: [process.execPath, String(options?.program)], env, ...cwd } } };
}
