import { setTimeout as sleep } from 'node:timers/promises';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { isUserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import * as wire from '../generated/simmer/control/v1/control.js';
import { messagesOf, type UnaryMethod, unaryCall } from '../process/grpc-call.js';
import { parseAddress, shownAddress } from './address.js';
import { clientCredentials } from './client-credentials.js';
import { fromServiceError } from './status-details.js';
import type { TlsFiles } from './tls-files.js';

interface ControlClientOptions {
  /** `unix:PATH` or `HOST:PORT`. */
  readonly address: string;
  readonly token?: string;
  /** Absent, the connection is TLS all the same where others could listen in. */
  readonly tls?: TlsFiles;
  /** How long a watcher looks for a server that cannot be reached any more. @default 10 minutes: a machine starts again within them */
  readonly patienceMilliseconds?: number;
}

/** What a LIVE or BRIEF watcher was not sent. */
interface EventGap {
  readonly dropped: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

const callSeconds = 60;
const reconnectMilliseconds = [50, 100, 200, 500, 1000];

/** The calls of one server. Throws the errors that the server threw; a connection's are UserErrors, too. */
export class ControlClient implements Disposable {
  readonly address: string;
  readonly #client: wire.ControlServiceClient;
  readonly #metadata = new Metadata();
  readonly #patienceMilliseconds: number;

  private constructor(
    address: string,
    client: wire.ControlServiceClient,
    { token, patienceMilliseconds = 10 * 60_000 }: ControlClientOptions,
  ) {
    this.address = address;
    this.#client = client;
    this.#patienceMilliseconds = patienceMilliseconds;
    if (token !== undefined) this.#metadata.set('authorization', `Bearer ${token}`);
  }

  /** Connects at the first call. @throws UserError `invalid_address`, `tls_file_missing` and the like */
  static async open(given: ControlClientOptions): Promise<ControlClient> {
    const server = parseAddress(given.address);
    const address = shownAddress(server);
    const { credentials, options } = await clientCredentials(server, given.tls);
    const client = new wire.ControlServiceClient(address, credentials, {
      ...options,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      // Some messages of a long log; HTTP/2's own 64 KiB hold none of them whole.
      'grpc-node.flow_control_window': 1024 * 1024,
      'grpc.enable_http_proxy': 0,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 1000,
      'grpc.keepalive_time_ms': 20_000,
    });
    return new ControlClient(address, client, given);
  }

  describeServer = () => this.#unary(this.#client.describeServer, {});
  validateRecipe = (request: wire.ValidateRecipeRequest) => this.#unary(this.#client.validateRecipe, request);
  planRecipe = (request: wire.PlanRecipeRequest) => this.#unary(this.#client.planRecipe, request);
  createRun = (request: wire.CreateRunRequest) => this.#unary(this.#client.createRun, request);
  getRun = (runId: string) => this.#unary(this.#client.getRun, { runId });
  listRuns = (request: wire.ListRunsRequest) => this.#unary(this.#client.listRuns, request);
  /** Waits for as long as the run takes to stop. */
  cancelRun = (request: { readonly runId: string; readonly reason: string; readonly dropReplies?: boolean }) =>
    this.#unary(this.#client.cancelRun, { dropReplies: false, ...request }, { seconds: 24 * 3600 });
  resumeRun = (runId: string, overrides: Readonly<Record<string, string>> = {}) =>
    this.#unary(this.#client.resumeRun, { runId, overrides: { ...overrides } });
  /** Waits for as long as it takes. */
  removeRuns = (request: wire.RemoveRunsRequest) => this.#unary(this.#client.removeRuns, request, { seconds: 3600 });
  listArtifacts = (runId: string) => this.#unary(this.#client.listArtifacts, { runId });
  writeReport = (runId: string) => this.#unary(this.#client.writeReport, { runId }, { seconds: 600 });
  /** Reads tables of any size. */
  explainRow = (request: wire.ExplainRowRequest) => this.#unary(this.#client.explainRow, request, { seconds: 600 });
  listPlugins = () => this.#unary(this.#client.listPlugins, {});
  getRecipeSchema = () => this.#unary(this.#client.getRecipeSchema, {});

  /** The bytes of a file of an artifact, or a range of them. */
  async *readArtifact(request: wire.ReadArtifactRequest): AsyncIterable<Buffer> {
    const call = this.#client.readArtifact(request, this.#metadata);
    for await (const { data } of messagesOf(call, { toError: this.#toError })) yield data;
  }

  /** How the evaluations of two runs differ: the parts of a JSON text. */
  async *diffEvaluations(request: wire.DiffEvaluationsRequest): AsyncIterable<Buffer> {
    const call = this.#client.diffEvaluations(request, this.#metadata);
    for await (const { data } of messagesOf(call, { toError: this.#toError })) yield data;
  }

  /**
   * The events of a run from a sequence on, until the one that ends it, or until the last one so far for a BRIEF watcher: each
   * once and in order, also where the connection breaks or the server is started anew meanwhile.
   * @param onGap called for what a LIVE or BRIEF watcher is not sent @param onStopping called when the server is being stopped
   * @param onLost called when it has not been reached for two seconds
   */
  async *watch(
    runId: string,
    options: {
      readonly fromSequence?: number;
      readonly mode?: wire.WatchMode;
      readonly signal?: AbortSignal;
      onGap?(gap: EventGap): void;
      onStopping?(): void;
      onLost?(): void;
    } = {},
  ): AsyncIterable<Event> {
    const { mode = wire.WatchMode.WATCH_MODE_COMPLETE, signal } = options;
    let next = options.fromSequence ?? 1;
    let lostAt = 0;
    const isLeft = () => signal?.aborted === true;
    for (let failures = 0; !isLeft(); ) {
      const request = { runId, fromSequence: BigInt(next), mode };
      try {
        const call = this.#client.watchRun(request, this.#metadata);
        for await (const { items } of messagesOf(call, { signal, toError: this.#toError })) {
          failures = 0;
          for (const { item } of items) {
            if (item?.$case === 'event') {
              next = Number(item.value.sequence) + 1;
              yield JSON.parse(item.value.json) as Event;
            } else if (item?.$case === 'gap') {
              const { dropped, firstSequence, lastSequence } = item.value;
              next = Number(lastSequence) + 1;
              options.onGap?.({
                dropped: Number(dropped),
                firstSequence: Number(firstSequence),
                lastSequence: Number(lastSequence),
              });
            }
          }
        }
        return;
      } catch (error) {
        if (isLeft()) return;
        const isLost = isUserError(error) && (error.code === 'server_unreachable' || error.code === 'server_stopping');
        const now = performance.now();
        if (failures === 0) lostAt = now;
        if (!isLost || now - lostAt > this.#patienceMilliseconds) throw error;
        const wait = reconnectMilliseconds[Math.min(failures++, reconnectMilliseconds.length - 1)]!;
        if (error.code === 'server_stopping') options.onStopping?.();
        if (failures === reconnectMilliseconds.length) options.onLost?.();
        await sleep(wait);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  /** Asks again for two seconds where nobody answers: every call may be made twice, and a server restarts within them. */
  async #unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    { seconds = callSeconds }: { readonly seconds?: number } = {},
  ): Promise<Response> {
    for (let failures = 0; ; failures++) {
      try {
        return await unaryCall(this.#client, method, request, {
          metadata: this.#metadata,
          seconds,
          toError: this.#toError,
        });
      } catch (error) {
        const wait = reconnectMilliseconds[failures];
        if (wait === undefined || !isUserError(error) || error.code !== 'server_unreachable') throw error;
        await sleep(wait);
      }
    }
  }

  readonly #toError = (error: ServiceError) => fromServiceError(error, this.address);
}
