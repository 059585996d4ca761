import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { UserError } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { Verdict } from '../../generated/simmer/grader/v1/grader.js';
import type { AroundStageRequest, AroundStageResponse } from '../../generated/simmer/plugin/v1/hook.js';
import type { LaunchRequest } from '../../generated/simmer/plugin/v1/launcher.js';
import type { EstimateStageRequest, StageEstimate } from '../../generated/simmer/plugin/v1/planning.js';
import {
  type DescribeResponse,
  type GradeRequest,
  type GradeResponse,
  PluginServiceClient,
  type RunStageRequest,
  type RunStageResponse,
} from '../../generated/simmer/plugin/v1/plugin.js';
import type { PrepareTrainerResponse } from '../../generated/simmer/plugin/v1/trainer.js';
import { messagesOf, type UnaryMethod, unaryCall } from '../../process/grpc-call.js';
import { isServing } from '../../process/grpc-health.js';
import type { Plan } from '../../recipe/plan.js';
import type { Grade, GradeItem } from '../../trainer/trainer.js';
import type { CheckPlace, OptionProblem, PrepareContext } from '../definitions.js';
import type { EstimatePlace, PaidEstimate, TrainerJob, WorkEstimate } from '../estimate.js';
import type { PlanObjection, RecipeTree } from '../hooks.js';
import type { Resources } from '../resources.js';
import { brokeContract } from './broke-contract.js';
import { toObjections, toRecipeTree } from './hook-wire.js';
import { fromResources, toLaunchSettings, toProcessId } from './launcher-wire.js';
import { toOptionProblems, toPaidEstimate, toResources, toWorkEstimate } from './planning-wire.js';
import { fromEstimatePlace, fromTrainerJob } from './trainer-wire.js';
import { plainJson, toGrade } from './wire.js';

const pluginServiceName = 'simmer.plugin.v1.PluginService';

/** Of either side; data goes by files. */
export const messageBytes = 64 * 1024 * 1024;

const channelOptions = {
  'grpc.max_receive_message_length': messageBytes,
  'grpc.max_send_message_length': messageBytes,
  'grpc.enable_http_proxy': 0,
};

/** The plugin cannot be reached any more, or does not answer in time. */
export class PluginLostError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'PluginLostError';
  }
}

/** The calls of one plugin process. Throws `PluginLostError`, and `UserError` for what the plugin refuses. */
export class PluginClient {
  readonly #address: string;
  readonly #client: PluginServiceClient;

  constructor(address: string) {
    this.#address = address;
    this.#client = new PluginServiceClient(address, credentials.createInsecure(), channelOptions);
  }

  /** Whether it serves; false where nothing answers in time. */
  isHealthy(timeoutMilliseconds: number): Promise<boolean> {
    return isServing({ address: this.#address, service: pluginServiceName, channelOptions, timeoutMilliseconds });
  }

  describe(seconds: number): Promise<DescribeResponse> {
    return this.#unary('Describe', this.#client.describe, {}, seconds);
  }

  /** @throws UserError `plugin_broke_contract` where the answer is no list of problems */
  async checkStage(
    stage: string,
    options: Readonly<Record<string, unknown>>,
    { recipeFolder, isUsdLimited = false, inputs = {} }: CheckPlace,
  ): Promise<readonly OptionProblem[]> {
    const request = { stage, options: plainJson(options), recipeFolder, isUsdLimited, inputs };
    return toOptionProblems(await this.#unary('CheckStage', this.#client.checkStage, request));
  }

  async stageResources(stage: string, options: Readonly<Record<string, unknown>>): Promise<Resources> {
    const request = { stage, options: plainJson(options) };
    return toResources(
      (await this.#unary('ResolveStageResources', this.#client.resolveStageResources, request)).resources,
    );
  }

  async estimateStage(request: EstimateStageRequest): Promise<StageEstimate | undefined> {
    return (await this.#unary('EstimateStage', this.#client.estimateStage, request)).estimate;
  }

  /** The messages of a stage's run, pulled one by one; left early, the call is canceled. */
  async *runStage(request: RunStageRequest): AsyncGenerator<RunStageResponse> {
    yield* messagesOf(this.#client.runStage(request), { toError: errorOf('RunStage') });
  }

  /** A conversation about one stage; left early, the call is canceled. */
  aroundStage() {
    const call = this.#client.aroundStage();
    return {
      say: (request: AroundStageRequest['request']) => void call.write({ request }),
      messages: messagesOf<AroundStageResponse>(call, { toError: errorOf('AroundStage') }),
    };
  }

  /** @throws UserError `plugin_broke_contract` where the answer is no JSON */
  async beforePlan(tree: RecipeTree): Promise<RecipeTree | undefined> {
    const request = { recipeJson: JSON.stringify(tree) };
    return toRecipeTree(await this.#unary('BeforePlan', this.#client.beforePlan, request));
  }

  /** @throws UserError `plugin_broke_contract` where an objection has no message */
  async afterPlan(plan: Plan): Promise<readonly PlanObjection[]> {
    return toObjections(await this.#unary('AfterPlan', this.#client.afterPlan, { planJson: JSON.stringify(plan) }));
  }

  async trainerVersions(
    trainer: string,
    options: Readonly<Record<string, unknown>>,
    where: TrainerWhere,
  ): Promise<Readonly<Record<string, string>>> {
    const request = { trainer, options: plainJson(options), ...placeOf(where) };
    return (await this.#unary('ReadTrainerVersions', this.#client.readTrainerVersions, request)).versions;
  }

  async trainerResources(trainer: string, options: Readonly<Record<string, unknown>>): Promise<Resources> {
    const request = { trainer, options: plainJson(options) };
    return toResources(
      (await this.#unary('ResolveTrainerResources', this.#client.resolveTrainerResources, request)).resources,
    );
  }

  /** @throws UserError `plugin_broke_contract` where a figure is none */
  async estimateJob(
    trainer: string,
    options: Readonly<Record<string, unknown>>,
    job: TrainerJob,
    place: EstimatePlace,
  ): Promise<WorkEstimate | undefined> {
    const about = { trainer, options: plainJson(options), place: fromEstimatePlace(place) };
    const request = { ...about, job: fromTrainerJob(job) };
    const { estimate } = await this.#unary('EstimateTrainerJob', this.#client.estimateTrainerJob, request);
    return estimate && toWorkEstimate(estimate);
  }

  prepareTrainer(
    callId: string,
    trainer: string,
    options: Readonly<Record<string, unknown>>,
    where: TrainerWhere,
  ): Promise<PrepareTrainerResponse> {
    const request = { callId, trainer, options: plainJson(options), ...placeOf(where) };
    return this.#unary('PrepareTrainer', this.#client.prepareTrainer, request);
  }

  async resolveLaunch(
    launcher: string,
    options: Readonly<Record<string, unknown>>,
    resources?: Resources,
  ): Promise<ReturnType<typeof toLaunchSettings>> {
    const needed = resources === undefined ? undefined : fromResources(resources);
    const request = { launcher, options: plainJson(options), resources: needed };
    return toLaunchSettings(await this.#unary('ResolveLaunch', this.#client.resolveLaunch, request));
  }

  /** @returns the process id @throws UserError `plugin_broke_contract` where it is none */
  async launch(request: LaunchRequest): Promise<number> {
    return toProcessId(await this.#unary('Launch', this.#client.launch, request));
  }

  async attach(launcher: string, options: Readonly<Record<string, unknown>>, pid: number): Promise<boolean> {
    const request = { launcher, options: plainJson(options), processId: pid };
    return (await this.#unary('Attach', this.#client.attach, request)).isRunning;
  }

  async terminate(
    launcher: string,
    options: Readonly<Record<string, unknown>>,
    pid: number,
    graceMilliseconds: number,
  ): Promise<void> {
    const seconds = Math.floor(graceMilliseconds / 1000);
    const gracePeriod = { seconds: BigInt(seconds), nanos: Math.round((graceMilliseconds - seconds * 1000) * 1e6) };
    const request = { launcher, options: plainJson(options), processId: pid, gracePeriod };
    await this.#unary('Terminate', this.#client.terminate, request);
  }

  async openEventHook(callId: string, runId: string): Promise<void> {
    await this.#unary('OpenEventHook', this.#client.openEventHook, { callId, runId });
  }

  async cancel(callId: string, reason: string, seconds: number): Promise<void> {
    await this.#unary('Cancel', this.#client.cancel, { callId, reason }, seconds);
  }

  /** At most 1,024 items. @throws UserError `plugin_broke_contract` where the answer does not fit what was asked */
  async grade(
    request: Omit<GradeRequest, 'options' | 'items'> & { readonly options: Readonly<Record<string, unknown>> },
    items: readonly GradeItem[],
  ): Promise<readonly Grade[]> {
    const { grades }: GradeResponse = await this.#unary('Grade', this.#client.grade, {
      ...request,
      options: plainJson(request.options),
      items: [...items],
    });
    if (grades.length !== items.length) {
      throw brokeContract(`gave ${grades.length} grades where ${items.length} were asked for`);
    }
    const wrong = grades.findIndex(({ id }, index) => id !== items[index]!.id);
    if (wrong >= 0) {
      const [came, due] = [grades, items].map((list) => JSON.stringify(list[wrong]!.id));
      throw brokeContract(
        `gave a grade with the id ${came} where that of ${due} was due: they come in the order asked`,
      );
    }
    const silent = grades.find(({ verdict }) => verdict === Verdict.VERDICT_UNSPECIFIED);
    if (silent !== undefined) throw brokeContract(`gave a grade without a verdict, of ${JSON.stringify(silent.id)}`);
    return grades.map(toGrade);
  }

  /** @throws UserError `plugin_broke_contract` where a figure is none */
  async estimateGrader(
    grader: string,
    options: Readonly<Record<string, unknown>>,
    answers: number | undefined,
  ): Promise<PaidEstimate | undefined> {
    const count = answers === undefined ? undefined : BigInt(Math.ceil(answers));
    const request = { grader, options: plainJson(options), answers: count };
    const { estimate } = await this.#unary('EstimateGrader', this.#client.estimateGrader, request);
    return estimate && toPaidEstimate(estimate);
  }

  async openSink(request: {
    readonly callId: string;
    readonly sink: string;
    readonly options: Readonly<Record<string, unknown>>;
    readonly runId: string;
    readonly runFolder: string;
    readonly recipeFolder: string;
  }): Promise<void> {
    await this.#unary('OpenSink', this.#client.openSink, { ...request, options: plainJson(request.options) });
  }

  async deliverEvents(callId: string, events: readonly Event[]): Promise<void> {
    const messages = events.map((event) => ({
      sequence: BigInt(event.sequence),
      type: event.type,
      json: JSON.stringify(event),
    }));
    await this.#unary('DeliverEvents', this.#client.deliverEvents, { callId, events: messages });
  }

  async completeSink(callId: string): Promise<string | undefined> {
    return (await this.#unary('CompleteSink', this.#client.completeSink, { callId })).reportPath;
  }

  async closeSink(callId: string): Promise<void> {
    await this.#unary('CloseSink', this.#client.closeSink, { callId });
  }

  /** Asks the process to end. */
  async shutdown(graceSeconds: number): Promise<void> {
    const gracePeriod = { seconds: BigInt(Math.ceil(graceSeconds)), nanos: 0 };
    await this.#unary('Shutdown', this.#client.shutdown, { gracePeriod }, 5);
  }

  close(): void {
    this.#client.close();
  }

  #unary<Request, Response>(
    name: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    seconds?: number,
  ): Promise<Response> {
    return unaryCall(this.#client, method, request, { seconds, toError: errorOf(name) });
  }
}

/** Where a trainer is made ready. */
type TrainerWhere = Pick<PrepareContext, 'recipeFolder' | 'cacheFolder' | 'python'>;

function placeOf({ recipeFolder, cacheFolder, python }: TrainerWhere) {
  return { recipeFolder, cacheFolder, python };
}

const lost: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.CANCELLED, status.DEADLINE_EXCEEDED]);

/** What a failed call means. @param call for messages: "RunStage" */
function errorOf(call: string): (error: unknown) => Error {
  return (error) => toPluginError(error, call);
}

function toPluginError(error: unknown, call: string): Error {
  if (!(error instanceof Error) || typeof (error as Partial<ServiceError>).code !== 'number') {
    return error instanceof Error ? error : new Error(String(error));
  }
  const { code, details, metadata } = error as ServiceError;
  const said = details === '' ? status[code] : details;
  // What grpc-js makes of a connection that the other side closed while a call was under way.
  if (lost.has(code) || (code === status.INTERNAL && said.includes('RST_STREAM')))
    return new PluginLostError(said, error);
  const stable = metadata?.get('simmer-error-code')[0];
  const hint = metadata?.get('simmer-error-hint-bin')[0];
  return new UserError(typeof stable === 'string' ? stable : 'plugin_refused', `${call}: ${said}`, {
    kind: 'runFailed',
    ...(hint === undefined ? {} : { hint: hint.toString() }),
    cause: error,
  });
}
