import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { Verdict } from '../../../core/generated/simmer/grader/v1/grader.js';
import { ArtifactType } from '../../../core/generated/simmer/plugin/v1/artifact.js';
import { LogLevel, type StageEvent } from '../../../core/generated/simmer/plugin/v1/event.js';
import type {
  CommitReportRequest,
  CommitReportResponse,
  ReserveSpendingRequest,
  ReserveSpendingResponse,
  SettleSpendingRequest,
  SettleSpendingResponse,
} from '../../../core/generated/simmer/plugin/v1/host.js';
import {
  type DescribeResponse,
  type PluginServiceServer,
  PluginServiceService,
  type RunStageRequest,
  type RunStageResponse,
} from '../../../core/generated/simmer/plugin/v1/plugin.js';
import { afterPlan, answersHooks, aroundStage, beforePlan, hooksOf, writeTypes } from './fixture-hooks.js';
import { asked, emit, host, say } from './fixture-host.js';
import { attach, launch, launcherDescription, resolveLaunch, terminate } from './fixture-launcher.js';
import type { Misbehavior } from './fixture-misbehaviors.js';
import { type Answer, check, estimate, estimateGrader, resources } from './fixture-planning.js';
import { estimateJob, prepare, trainerDescription, trainerResources, versions } from './fixture-trainer.js';

/** A plugin in a process of its own, written against the generated code alone: what an author without a library does. */
async function main(misbehavior: Misbehavior): Promise<void> {
  const address = process.env.SIMMER_PLUGIN_ADDRESS!;
  const offered = (process.env.SIMMER_PLUGIN_PROTOCOLS ?? '').split(',');
  if (!offered.includes('1') && misbehavior !== 'any-protocol') {
    process.stderr.write('This plugin speaks version 1 of simmer.plugin.\n');
    process.exit(2);
  }
  if (misbehavior === 'exit-at-start') {
    process.stderr.write('I had better not.\n');
    process.exit(3);
  }
  if (misbehavior === 'flood') for (;;) await written('x'.repeat(65_536));
  if (misbehavior === 'rubbish-instead') process.stdout.write('hello!\n<html>\n');
  if (misbehavior === 'rubbish-around') process.stdout.write('loading, please wait\n');
  if (misbehavior !== 'ignore-stdin') process.stdin.on('end', () => process.exit(0)).resume();
  if (misbehavior === 'ignore-stdin') setInterval(() => {}, 1_000);
  if (misbehavior === 'rubbish-instead') return;
  if (misbehavior === 'not-serving') {
    process.stdout.write(`SIMMER-PLUGIN|1|1|${address}\n`);
    return;
  }
  const server = new Server();
  server.addService(PluginServiceService, service(misbehavior, server));
  new HealthImplementation({ 'simmer.plugin.v1.PluginService': 'SERVING' }).addToServer(server);
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
  );
  process.stdout.write(`SIMMER-PLUGIN|1|${misbehavior === 'wrong-protocol' ? 2 : 1}|${address}\n`);
  if (misbehavior === 'rubbish-around') process.stdout.write('and ready\n');
}

let descriptions = 0;

function description(misbehavior: Misbehavior): DescribeResponse {
  descriptions += 1;
  return {
    name: misbehavior === 'bad-name' ? 'Bad Name!' : 'fixture',
    version: misbehavior === 'describe-changes' ? `1.0.${descriptions}` : '1.0.0',
    stages: [
      {
        name: 'greet',
        description: 'Greets everybody, in as many rows as is asked for.',
        optionsSchema:
          misbehavior === 'bad-schema'
            ? { type: 'array' }
            : {
                type: 'object',
                properties: {
                  rows: { type: 'integer', minimum: 1, default: 3, description: 'How many rows.' },
                  usd: { type: 'number', minimum: 0, default: 0, description: 'What it pays.' },
                  key: { type: 'string', 'x-simmer-secret': '', description: 'Which secret it reads.' },
                  threads: { type: 'integer', default: 1, 'x-simmer-placement': true, description: 'How fast.' },
                },
              },
        inputs: [
          {
            name: 'dataset',
            description: 'Who is greeted.',
            types: [ArtifactType.ARTIFACT_TYPE_DATASET],
            optional: true,
            many: false,
          },
        ],
        outputs: [{ name: 'greetings', description: 'The greetings.', type: ArtifactType.ARTIFACT_TYPE_REPORT }],
        hasCheck: misbehavior !== 'plans-nothing',
        resolvesResources: misbehavior !== 'plans-nothing',
        hasEstimate: misbehavior !== 'plans-nothing',
      },
    ],
    graders: [
      {
        name: 'equal',
        description: 'Right where both are the same text.',
        hasEstimate: misbehavior !== 'plans-nothing',
        gradesWithoutGold: false,
      },
    ],
    sinks: [{ name: 'types', description: 'Writes down the types of all events.' }],
    hooks: hooksOf(misbehavior),
    trainers: [trainerDescription],
    launchers: [launcherDescription],
  };
}

function service(misbehavior: Misbehavior, server: Server): PluginServiceServer {
  const running = new Map<string, () => void>();
  const sinks = new Map<string, { readonly types: string[]; write(types: readonly string[]): Promise<void> }>();
  return {
    describe: answer(() => description(misbehavior)),
    checkStage: answerOrNot((request) => check(request, misbehavior)),
    resolveStageResources: answerOrNot((request) => resources(request, misbehavior)),
    readTrainerVersions: answerOrNot((request) => versions(request, misbehavior)),
    resolveTrainerResources: answerOrNot(trainerResources),
    estimateTrainerJob: answerOrNot((request) => estimateJob(request, misbehavior)),
    prepareTrainer(call, callback) {
      const value = { done: 1n, total: 1n, unit: 'environments', figures: {} };
      const tell = (callId: string) => emit(callId, { $case: 'stageProgressed', value });
      void prepare(call.request, misbehavior, tell).then((answered) => give(answered, callback));
    },
    resolveLaunch: answerOrNot((request) => resolveLaunch(request, misbehavior)),
    launch(call, callback) {
      void launch(call.request, misbehavior, say).then((answered) => give(answered, callback));
    },
    attach: answerOrNot((request) => attach(request, misbehavior)),
    terminate(call, callback) {
      void terminate(call.request, misbehavior).then((answered) => give(answered, callback));
    },
    estimateStage: answerOrNot((request) => estimate(request, misbehavior)),
    runStage(call) {
      const { request } = call;
      const send = (response: RunStageResponse['response']) => call.write({ response });
      if (request.stage !== 'greet' && misbehavior !== 'unknown-stage-runs') {
        const metadata = new Metadata();
        metadata.set('simmer-error-code', 'unknown_stage');
        call.emit('error', { code: status.NOT_FOUND, details: `There is no stage ${request.stage}.`, metadata });
        return;
      }
      if (misbehavior === 'crash') {
        process.stderr.write('something went terribly wrong\n');
        process.exit(7);
      }
      const stopped = new Promise<void>((resolve) => running.set(request.callId, resolve));
      const cancel = () => call.emit('error', { code: status.CANCELLED, details: 'stopped' });
      if (misbehavior === 'hang') return void stopped.then(cancel);
      if (misbehavior === 'ignore-cancel') return;
      if (misbehavior === 'freeze') for (;;);
      if (misbehavior === 'hog') return void hog();
      if (misbehavior === 'child-hog') {
        spawn(process.execPath, ['-e', `(${String(hog)})()`]);
        return;
      }
      if (misbehavior === 'pays-slowly') return void paySlowly(request, stopped).then(cancel);
      void greet(request, send, misbehavior).then(() => call.end(), cancel);
    },
    cancel: answer(({ callId }) => {
      running.get(callId)?.();
      return {};
    }),
    grade(call, callback) {
      const { grader, items } = call.request;
      if (grader !== 'equal') return callback({ code: status.NOT_FOUND, details: `There is no grader ${grader}.` });
      if (misbehavior.startsWith('fails-')) {
        const metadata = new Metadata();
        if (misbehavior === 'fails-foreseen') metadata.set('simmer-error-code', 'no_umpire');
        return callback({ code: status.FAILED_PRECONDITION, details: 'The umpire is out.', metadata });
      }
      const known = misbehavior === 'grades-unasked' ? items.filter(({ question }) => question === undefined) : items;
      const grades = known.map(({ id, gold, answer: given, question }) => ({
        id,
        verdict: verdictOf(gold === given, misbehavior),
        parsedAnswer: given,
        parsedGold: gold,
        explanation: question ?? 'not asked',
      }));
      callback(null, { grades: misbehavior === 'grades-shuffled' ? grades.toReversed() : grades });
    },
    estimateGrader: answerOrNot((request) => estimateGrader(request, misbehavior)),
    openSink: answerOrNot(({ callId, sink, runFolder, recipeFolder }) => {
      if (sink !== 'types' && misbehavior !== 'opens-any-sink')
        return { error: { code: status.NOT_FOUND, details: `There is no sink ${sink}.` } };
      if (misbehavior === 'event-open-hang') return 'none';
      if (misbehavior === 'prints') process.stdout.write('the sink is open\n');
      sinks.set(callId, {
        types: [],
        write: (types) => writeFile(join(runFolder, 'types.json'), JSON.stringify({ recipeFolder, types })),
      });
      return { response: {} };
    }),
    deliverEvents: answerOrNot(({ callId, events }) => {
      if (misbehavior === 'prints') process.stderr.write(events.map(({ type }) => `got ${type}\n`).join(''));
      if (misbehavior === 'event-crash') process.exit(13);
      if (misbehavior === 'event-hang') return 'none';
      sinks.get(callId)!.types.push(...events.map(({ type }) => type));
      return { response: {} };
    }),
    completeSink: answer(() => (misbehavior === 'report-relative' ? { reportPath: 'types.json' } : {})),
    closeSink(call, callback) {
      if (misbehavior === 'event-close-hang') return;
      const { types, write } = sinks.get(call.request.callId)!;
      void write(types).then(() => callback(null, {}));
    },
    ...hooks(misbehavior, running, sinks),
    shutdown(_call, callback) {
      callback(null, {});
      if (misbehavior === 'ignore-shutdown') return;
      server.tryShutdown(() => process.exit(0));
      setTimeout(() => process.exit(0), 300);
    },
  };
}

function hooks(
  misbehavior: Misbehavior,
  running: Map<string, () => void>,
  sinks: Map<string, { readonly types: string[]; write(types: readonly string[]): Promise<void> }>,
): Pick<PluginServiceServer, 'beforePlan' | 'afterPlan' | 'aroundStage' | 'openEventHook'> {
  const unimplemented = { code: status.UNIMPLEMENTED, details: 'It has no such hook.' };
  const ifAny = <Request, Response>(work: (request: Request) => Answer<Response>) =>
    answerOrNot((request: Request) => (answersHooks(misbehavior) ? work(request) : { error: unimplemented }));
  return {
    beforePlan: ifAny((request) => beforePlan(request, misbehavior)),
    afterPlan: ifAny((request) => afterPlan(request, misbehavior)),
    aroundStage(call) {
      if (!answersHooks(misbehavior)) return void call.emit('error', unimplemented);
      aroundStage(call, misbehavior, {
        canceled: (callId) => new Promise((resolve) => running.set(callId, resolve)),
        say: ({ callId }, message) => say(callId, message),
      });
    },
    openEventHook: ifAny(({ callId }) => {
      if (misbehavior === 'event-open-hang') return 'none';
      if (misbehavior === 'prints') process.stdout.write('the hook is open\n');
      sinks.set(callId, { types: [], write: writeTypes });
      return { response: {} };
    }),
  };
}

async function greet(
  request: RunStageRequest,
  send: (response: RunStageResponse['response']) => void,
  misbehavior: Misbehavior,
): Promise<void> {
  if (misbehavior === 'rubbish-around') {
    process.stdout.write('said on stdout\n');
    process.stderr.write('said on stderr\n');
  }
  const line = { level: LogLevel.LOG_LEVEL_INFO, message: `secret is ${process.env.FIXTURE_SECRET ?? 'unknown'}` };
  send({ $case: 'event', value: { event: { $case: 'logWritten', value: line } } });
  const progress = { done: 1n, total: 2n, unit: 'rows', secondsLeft: undefined, figures: { happy: 1 } };
  send({ $case: 'event', value: { event: { $case: 'stageProgressed', value: progress } } });
  if (misbehavior.startsWith('fails-')) {
    const reason = misbehavior === 'fails-foreseen' ? { code: 'no_greeting' } : { code: '', stack: 'at greet' };
    return void send({ $case: 'failed', value: { ...reason, message: 'There is nobody to greet.' } });
  }
  if (misbehavior === 'funnel-wrong') send({ $case: 'event', value: { event: wrongFunnel } });
  if (misbehavior === 'funnel-wrong-to-host') await emit(request.callId, wrongFunnel).catch(() => {});
  if (misbehavior === 'writes-into-input')
    await writeFile(join(request.inputs.dataset!.artifacts[0]!.folder, 'notes.txt'), 'mine');
  const rows = Number(request.options?.rows);
  const content = {
    greetings: Array.from({ length: rows }, (_, index) => `hello ${index}`),
    seed: Number(request.seed),
  };
  const { callId } = request;
  const usd = Number(request.options?.usd);
  if (usd > 0) {
    const { reservationId } = await asked<ReserveSpendingRequest, ReserveSpendingResponse>(
      host.client.reserveSpending,
      { callId, source: 'an oracle', usd, seconds: undefined },
    );
    await asked<SettleSpendingRequest, SettleSpendingResponse>(host.client.settleSpending, {
      ...{ callId, reservationId, usd: usd / 2 },
      ...{ inputTokens: 10n, outputTokens: 5n },
    });
  }
  const committed = await asked<CommitReportRequest, CommitReportResponse>(host.client.commitReport, {
    ...{ callId, json: JSON.stringify(content), metadata: {} },
  });
  const artifact = committed.artifact!.uri;
  if (misbehavior === 'no-end') return;
  const outputs =
    misbehavior === 'undeclared-output'
      ? { greetings: artifact, more: artifact }
      : { greetings: misbehavior === 'made-up-output' ? `simmer://report/sha256-${'0'.repeat(64)}` : artifact };
  send({ $case: 'completed', value: { outputs } });
  if (misbehavior === 'two-ends') send({ $case: 'completed', value: { outputs } });
}

const wrongFunnel: StageEvent['event'] = {
  $case: 'funnelCounted',
  value: { step: 'greet', rowsIn: 4n, rowsOut: 1n, dropped: {} },
};

function verdictOf(isRight: boolean, misbehavior: Misbehavior): Verdict {
  if (misbehavior === 'grades-silent') return Verdict.VERDICT_UNSPECIFIED;
  return isRight ? Verdict.VERDICT_RIGHT : Verdict.VERDICT_WRONG;
}

/** Waits for what it is paying for also after it was told to stop, if somebody did pay. */
async function paySlowly({ callId, options }: RunStageRequest, stopped: Promise<void>): Promise<void> {
  const usd = Number(options?.usd);
  const reserved = await asked<ReserveSpendingRequest, ReserveSpendingResponse>(host.client.reserveSpending, {
    ...{ callId, source: 'an oracle', usd, seconds: 100 },
  });
  await say(callId, 'it is asked');
  await stopped;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await asked<SettleSpendingRequest, SettleSpendingResponse>(host.client.settleSpending, {
    ...{ callId, reservationId: reserved.reservationId, usd: usd / 2, inputTokens: 10n, outputTokens: 5n },
  });
  await say(callId, 'its reply is kept');
}

function answer<Request, Response>(work: (request: Request) => Response) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) =>
    callback(null, work(call.request));
}

function answerOrNot<Request, Response>(work: (request: Request) => Answer<Response>) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) =>
    give(work(call.request), callback);
}

function give<Response>(answered: Answer<Response>, callback: sendUnaryData<Response>): void {
  if (answered === 'none') return;
  if ('error' in answered) callback(answered.error);
  else callback(null, answered.response);
}

function written(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

/** Takes 16 MiB and touches them, every 20 milliseconds. */
function hog(): void {
  const kept: Uint8Array[] = [];
  setInterval(() => kept.push(new Uint8Array(16 * 2 ** 20).fill(1)), 20);
}

if (process.env.SIMMER_PLUGIN_ADDRESS !== undefined) await main((process.argv[2] ?? 'none') as Misbehavior);
