import { type ServiceError, status } from '@grpc/grpc-js';
import { UserError } from '../errors.js';
import { inRecipeTerms } from './recipe-terms.js';

/** The trainer cannot be reached: it died, or its connection did. What was asked may be asked again of its successor. */
export class TrainerLostError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'TrainerLostError';
  }
}

/** Whether an error came out of a gRPC call. */
function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number' && 'details' in error;
}

/** What a failed call means. @param call for messages: "Generate" */
export function toTrainerError(error: unknown, trainer: string, call: string): Error {
  if (!isServiceError(error)) return error instanceof Error ? error : new Error(String(error));
  const said = error.details === '' ? status[error.code] : error.details;
  const message = `Trainer ${trainer}, ${call}: ${inRecipeTerms(said)}`;
  const stableCode = error.metadata?.get('simmer-error-code')[0];
  const options = (code: string) => [typeof stableCode === 'string' ? stableCode : code, message] as const;
  switch (error.code) {
    case status.UNAVAILABLE:
    case status.CANCELLED:
      return new TrainerLostError(message, error);
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
    case status.OUT_OF_RANGE:
    case status.NOT_FOUND:
    case status.ALREADY_EXISTS:
      return new UserError(...options('trainer_refused'), { kind: 'runFailed', cause: error });
    case status.RESOURCE_EXHAUSTED:
      return new UserError(...options('out_of_memory'), {
        kind: 'runFailed',
        hint: 'Ask for less at a time (a smaller batch, shorter sequences), or free memory or disk space.',
        cause: error,
      });
    case status.UNIMPLEMENTED:
      return new UserError(...options('capability_missing'), {
        kind: 'runFailed',
        hint: 'This trainer cannot do that; see what it declares, and choose another trainer for this stage.',
        cause: error,
      });
    case status.UNAUTHENTICATED:
      return new UserError(...options('trainer_unauthenticated'), { kind: 'environment', cause: error });
    case status.DEADLINE_EXCEEDED:
      return new UserError(...options('trainer_timed_out'), { kind: 'runFailed', cause: error });
    default:
      return new UserError(...options('trainer_error'), { kind: 'runFailed', cause: error });
  }
}

/** The gRPC status that an error of `toTrainerError` came from. */
export function grpcStatus(error: unknown): status | undefined {
  return error instanceof Error && isServiceError(error.cause) ? error.cause.code : undefined;
}
