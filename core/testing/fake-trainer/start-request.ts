import { access, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Hyperparameters, StartTrainingRequest } from '../../generated/simmer/trainer/v1/trainer.js';
import { checkpointMarker } from '../../trainer/checkpoints.js';
import { Refusal } from './grpc-calls.js';
import type { Misbehavior } from './misbehavior.js';

/** All that is in a checkpoint beside its marker. */
export const checkpointState = 'state.json';

/** What can never succeed as it is. @throws Refusal INVALID_ARGUMENT */
export async function checkStartRequest(
  request: StartTrainingRequest,
  { breaks, refuses }: Pick<Misbehavior, 'breaks' | 'refuses'>,
): Promise<void> {
  const code = breaks === 'refusesAsInternal' ? status.INTERNAL : status.INVALID_ARGUMENT;
  const demand = (holds: boolean, message: string, stableCode: string) => {
    if (!holds) throw new Refusal(code, message, stableCode);
  };
  const { attemptId, jobId, attempt, hyperparameters: parameters, model, outputFolder } = request;
  const isName = /^[\w-][\w.-]{0,127}$/.test(attemptId) || (attemptId !== '' && breaks === 'writesOutside');
  demand(isName, 'attempt_id must be of letters, digits, _ . -', 'attempt_id_invalid');
  demand(jobId !== '', 'job_id must not be empty', 'job_id_missing');
  demand(attempt >= 1, 'attempt must be at least 1', 'attempt_invalid');
  demand(model?.source !== undefined, 'model must be set', 'model_missing');
  const isSound = parameters !== undefined && parameters.globalBatchSize >= 1 && parameters.learningRate > 0;
  const isHeedless = breaks === 'acceptsNonsense';
  demand(isSound || isHeedless, 'global_batch_size and learning_rate must be above 0', 'hyperparameters_invalid');
  const isNumber = Number.isFinite(parameters?.learningRate);
  demand(isNumber || isHeedless, 'learning_rate must be finite', 'hyperparameters_invalid');
  const unheeded = Object.keys(parameters ?? {}).find(
    (name) => refuses.includes(name) && parameters?.[name as keyof Hyperparameters] !== undefined,
  );
  demand(unheeded === undefined, `${unheeded} is not honoured here`, 'hyperparameters_invalid');
  const needsData = (parameters?.evaluateEverySteps ?? 0) > 0 && request.evaluationData === undefined;
  demand(!needsData, 'evaluate_every_steps needs evaluation_data', 'hyperparameters_invalid');
  demand(
    request.extensions === undefined || breaks === 'ignoresExtensions',
    'there are no extensions',
    'extension_unknown',
  );
  const isFolder = await stat(outputFolder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  demand(isFolder, `there is no folder ${outputFolder}`, 'output_folder_missing');
  for (const file of [request.trainingData, request.evaluationData ?? request.trainingData]) {
    demand(await exists(file), `there is no file ${file}`, 'data_not_found');
  }
  if (request.resumeFrom === undefined || breaks === 'resumesFromAnything') return;
  const isWhole = await exists(join(request.resumeFrom, checkpointMarker));
  demand(isWhole, `${request.resumeFrom} is no complete checkpoint`, 'checkpoint_invalid');
  const hasState = await exists(join(request.resumeFrom, checkpointState));
  demand(hasState, `${request.resumeFrom} has lost ${checkpointState}`, 'checkpoint_damaged');
}

const claimFile = 'simmer-attempt.json';

/** An attempt's claim to its output folder; see StartTrainingRequest.output_folder in trainer.proto. */
export class OutputClaim {
  constructor(private readonly request: StartTrainingRequest) {}

  /** @param byForce against the contract @throws Refusal FAILED_PRECONDITION where a later attempt of the job has it */
  async take(byForce = false): Promise<void> {
    const { outputFolder, jobId, attempt, attemptId } = this.request;
    const claim = await this.read();
    if (!byForce && claim?.job_id === jobId && claim.attempt_id !== attemptId && claim.attempt >= attempt) {
      const message = `attempt ${attempt} is stale: attempt ${claim.attempt} has taken ${outputFolder}`;
      throw new Refusal(status.FAILED_PRECONDITION, message, 'attempt_stale');
    }
    const content = JSON.stringify({ format: 1, job_id: jobId, attempt, attempt_id: attemptId });
    await writeFile(join(outputFolder, claimFile), content, { flush: true });
  }

  async isHeld(): Promise<boolean> {
    return (await this.read())?.attempt_id === this.request.attemptId;
  }

  private async read(): Promise<{ job_id: string; attempt: number; attempt_id: string } | undefined> {
    try {
      return JSON.parse(await readFile(join(this.request.outputFolder, claimFile), 'utf8'));
    } catch {
      return undefined;
    }
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
