import { type ServiceError, status } from '@grpc/grpc-js';
import type {
  CheckStageRequest,
  CheckStageResponse,
  EstimateGraderRequest,
  EstimateGraderResponse,
  EstimateStageRequest,
  EstimateStageResponse,
  ResolveStageResourcesRequest,
  ResolveStageResourcesResponse,
} from '../../../core/generated/simmer/plugin/v1/planning.js';

/** What goes wrong while a recipe is planned. */
export const planningMisbehaviors = [
  'check-crash',
  'check-hang',
  'check-refuse',
  'check-rubbish',
  'check-any-stage',
  'check-forgetful',
  'check-never-right',
  'resources-crash',
  'estimate-rubbish',
  'estimate-undeclared',
  'grader-estimate-rubbish',
  'plans-nothing',
] as const;

/** The answer to a call, the error that it ends with, or nothing at all. */
export type Answer<Response> = { readonly response: Response } | { readonly error: Partial<ServiceError> } | 'none';

const unknownStage = { error: { code: status.NOT_FOUND, details: 'There is no such stage.' } };
let checks = 0;

/** Rows have a limit, which only the check knows; its message says which process found it. */
export function check({ stage, options }: CheckStageRequest, misbehavior: string): Answer<CheckStageResponse> {
  if (stage !== 'greet' && misbehavior !== 'check-any-stage') return unknownStage;
  checks += 1;
  if (misbehavior === 'check-crash') {
    process.stderr.write('the check went terribly wrong\n');
    process.exit(7);
  }
  if (misbehavior === 'check-hang') return 'none';
  if (misbehavior === 'check-refuse') return { error: { code: status.INTERNAL, details: 'my disk is gone' } };
  if (misbehavior === 'check-forgetful' && checks > 1) return { response: { problems: [] } };
  const isWrong = Number(options?.rows) > 1000 || ['check-forgetful', 'check-never-right'].includes(misbehavior);
  const code = misbehavior === 'check-rubbish' ? 'Too Many!' : 'too_many_rows';
  const problem = {
    path: 'rows',
    code,
    message: `Process ${process.pid} greets 1000 at most.`,
    hint: 'Ask for fewer.',
  };
  return { response: { problems: isWrong || misbehavior === 'check-rubbish' ? [problem] : [] } };
}

/** As many cores as it is given threads. */
export function resources(
  { stage, options }: ResolveStageResourcesRequest,
  misbehavior: string,
): Answer<ResolveStageResourcesResponse> {
  if (stage !== 'greet') return unknownStage;
  if (misbehavior === 'resources-crash') process.exit(8);
  return { response: { resources: { cpus: Number(options?.threads), memoryBytes: 2n ** 20n } } };
}

/** Half a second a row. */
export function estimate(
  { stage, options, inputs }: EstimateStageRequest,
  misbehavior: string,
): Answer<EstimateStageResponse> {
  if (stage !== 'greet') return unknownStage;
  const rows = Number(options?.rows);
  const known = JSON.stringify(inputs.dataset?.facts ?? null);
  const work = {
    seconds: misbehavior === 'estimate-rubbish' ? Number.NaN : rows / 2,
    time: [{ part: 'greeting', seconds: rows / 2 }],
    isAtMost: true,
    memory: [],
    advice: [],
    figures: { greetings: rows },
    notes: [`It knows ${known} of its input.`],
  };
  const output = misbehavior === 'estimate-undeclared' ? 'farewells' : 'greetings';
  return { response: { estimate: { work, usd: Number(options?.usd), outputs: { [output]: { greeted: rows } } } } };
}

/** A second and a cent an answer; of a number that is not known it knows nothing. */
export function estimateGrader(
  { grader, answers }: EstimateGraderRequest,
  misbehavior: string,
): Answer<EstimateGraderResponse> {
  if (grader !== 'equal') return { error: { code: status.NOT_FOUND, details: 'There is no such grader.' } };
  if (answers === undefined) return { response: { estimate: undefined } };
  const seconds = misbehavior === 'grader-estimate-rubbish' ? -1 : Number(answers);
  const work = { seconds, time: [], isAtMost: false, memory: [], advice: [], figures: {}, notes: [] };
  return { response: { estimate: { work, usd: Number(answers) / 100 } } };
}
