import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { GraderServiceClient } from '../generated/simmer/grader/v1/grader.js';
import { unaryCall } from '../process/grpc-call.js';
import { isServing } from '../process/grpc-health.js';
import type { Grade, GradeItem } from '../trainer/trainer.js';
import { verdicts } from '../trainer/wire-enums.js';

const serviceName = 'simmer.grader.v1.GraderService';
const channelOptions = { 'grpc.max_receive_message_length': 64 * 1024 * 1024, 'grpc.enable_http_proxy': 0 };

/** The grader cannot be reached any more, or does not answer in time. */
export class GraderLostError extends Error {}

/** The calls of one grader process, in the core's own terms. */
export class GraderClient {
  private readonly client: GraderServiceClient;

  constructor(private readonly address: string) {
    this.client = new GraderServiceClient(address, credentials.createInsecure(), channelOptions);
  }

  isHealthy(timeoutMilliseconds: number): Promise<boolean> {
    return isServing({ address: this.address, service: serviceName, channelOptions, timeoutMilliseconds });
  }

  /**
   * Grades items in one call; answers in their order.
   * @throws GraderLostError; the signal's reason
   */
  async grade(
    items: readonly GradeItem[],
    options: {
      readonly itemMilliseconds: number;
      readonly deadlineMilliseconds: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<readonly Grade[]> {
    const request = { items: [...items], timeoutMilliseconds: options.itemMilliseconds };
    const response = await unaryCall(this.client, this.client.grade, request, {
      seconds: options.deadlineMilliseconds / 1000,
      signal: options.signal,
      toError: toGraderError,
    });
    const inOrder =
      response.grades.length === items.length && response.grades.every((grade, index) => grade.id === items[index]?.id);
    if (!inOrder) throw new Error('the grader did not answer each item in the order asked');
    return response.grades.map(({ verdict, ...grade }) => ({
      ...grade,
      verdict: verdicts.name(verdict) ?? 'unparsed',
    }));
  }

  close(): void {
    this.client.close();
  }
}

function toGraderError(error: ServiceError): Error {
  const lost = [status.UNAVAILABLE, status.CANCELLED, status.DEADLINE_EXCEEDED].includes(error.code);
  return lost ? new GraderLostError(error.details, { cause: error }) : new Error(`the grader failed: ${error.details}`);
}
