import { randomUUID } from 'node:crypto';
import type { Artifact, TableArtifact } from '../../artifacts/artifact.js';
import { UserError } from '../../errors.js';
import type { RunStageRequest, StageDescription } from '../../generated/simmer/plugin/v1/plugin.js';
import type { StageContext, StageDefinition } from '../definitions.js';
import type { StageEstimate, StageEstimateContext } from '../estimate.js';
import { brokeContract } from './broke-contract.js';
import { toFailure } from './failure.js';
import { HostedSpending, HostedStage } from './hosted-call.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import type { KeptProcess } from './kept-process.js';
import { fromInputFacts, toResources, toStageEstimate } from './planning-wire.js';
import { PluginProcess } from './plugin-process.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';
import { type StoppableCall, stopWith } from './stop-with.js';
import { fromArtifact, plainJson, toArtifactType, toStageEvent } from './wire.js';

type AnyContext = StageContext<Readonly<Record<string, unknown>>, Record<never, never>>;
type InputValue = Artifact | TableArtifact | readonly (Artifact | TableArtifact)[] | undefined;

/**
 * A stage of a plugin that is a process: each run of it has a process of its own.
 * @param uses `plugin/stage` @param kept is asked while a recipe is planned
 * @throws UserError `invalid_plugin`
 */
export function processStage(
  plugin: ProcessPlugin,
  described: StageDescription,
  uses: string,
  kept: KeptProcess,
): StageDefinition {
  const { name: stage, hasCheck, resolvesResources, hasEstimate } = described;
  const what = `the stage "${described.name}"`;
  const typeOf = (code: StageDescription['outputs'][number]['type'], of: string) => {
    const type = toArtifactType(code);
    if (type !== undefined) return type;
    throw new UserError('invalid_plugin', `Plugin ${plugin.called}: ${of} of ${what} has no type that is known.`, {
      hint: 'This is a mistake in the plugin, or it is made for a newer Simmer.',
    });
  };
  const inputs = described.inputs.map(({ name, description, types, optional, many }) => {
    const known = types.map((type) => typeOf(type, `the input "${name}"`));
    return [name, { types: known, optional: optional || many, many, description }] as const;
  });
  const outputs = described.outputs.map(({ name, description, type }) => {
    return [name, { type: typeOf(type, `the output "${name}"`), description }] as const;
  });
  const definition: StageDefinition = {
    description: described.description,
    options: optionsFromJsonSchema(described.optionsSchema, plugin.called, `the options of ${what}`, plugin.secrets),
    inputs: Object.fromEntries(inputs),
    outputs: Object.fromEntries(outputs),
    resources: resolvesResources
      ? (options) => kept.ask(`The resources of ${uses}`, ({ client }) => client.stageResources(stage, options))
      : () => toResources(described.resources),
    ...(hasCheck
      ? {
          check: (options, where) =>
            kept.ask(`The check of ${uses}`, ({ client }) => client.checkStage(stage, options, where)),
        }
      : {}),
    ...(hasEstimate
      ? {
          estimate: (options, context) =>
            kept.ask(`The estimate of ${uses}`, (process) => estimateInProcess(process, described, options, context)),
        }
      : {}),
    run: (context) => runInProcess(plugin, stage, context as unknown as AnyContext),
  };
  return definition;
}

async function estimateInProcess(
  { client, host }: PluginProcess,
  { name, outputs }: StageDescription,
  options: Readonly<Record<string, unknown>>,
  context: StageEstimateContext,
): Promise<StageEstimate | undefined> {
  const callId = randomUUID();
  using _served = host.serve({ id: callId, estimate: context });
  const { inputs, recipeFolder, cacheFolder } = context;
  const about = { callId, stage: name, inputs: fromInputFacts(inputs), recipeFolder, cacheFolder };
  const estimate = await client.estimateStage({ ...about, options: plainJson(options) });
  return (
    estimate &&
    toStageEstimate(
      estimate,
      outputs.map((output) => output.name),
    )
  );
}

async function runInProcess(plugin: ProcessPlugin, stageName: string, context: AnyContext) {
  const command = await commandOf(plugin, context);
  await using process = await PluginProcess.start(command, {
    signal: context.signal,
    outputFolder: context.scratchFolder,
    onOutput: context.log.info,
  });
  const inputs = Object.entries(context.inputs as Readonly<Record<string, InputValue>>).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, [value].flat() as readonly (Artifact | TableArtifact)[]] as const],
  );
  const temporaryFolder = await context.artifacts.temporaryFolder();
  const stage = new HostedStage(
    context,
    temporaryFolder,
    inputs.flatMap(([, artifacts]) => artifacts),
  );
  const callId = randomUUID();
  using spending = new HostedSpending(context.spending);
  using _served = process.host.serve({ id: callId, log: context.log, spending, stage });
  const request: RunStageRequest = {
    callId,
    stage: stageName,
    options: plainJson(context.options),
    inputs: Object.fromEntries(inputs.map(([name, artifacts]) => [name, { artifacts: artifacts.map(fromArtifact) }])),
    seed: BigInt(context.seed),
    runId: context.runId,
    stageName: context.stage,
    attempt: context.attempt,
    temporaryFolder,
    scratchFolder: context.scratchFolder,
    recipeFolder: context.recipeFolder,
    cacheFolder: context.cacheFolder,
    isSpendingLimited: context.spending.isLimited,
    python: context.python,
  };
  const outputs = await follow(process, request, context, {
    plugin: plugin.called,
    whenPaid: () => spending.whenPaid(),
  });
  return Object.fromEntries(Object.entries(outputs).map(([name, uri]) => [name, stage.artifact(uri)]));
}

/** Follows a stage to its end; stops it when the run stops, and when its time is up. @returns output name to URI */
async function follow(
  process: PluginProcess,
  request: RunStageRequest,
  { signal, emit }: AnyContext,
  about: Pick<StoppableCall, 'plugin' | 'whenPaid'>,
): Promise<Readonly<Record<string, string>>> {
  using _stopping = stopWith(process, { callId: request.callId, signal, ...about });
  const messages = process.client.runStage(request);
  let outputs: Readonly<Record<string, string>> | undefined;
  try {
    for (;;) {
      const next = await process.guard(messages.next());
      if (next.done === true) break;
      const { response } = next.value;
      if (outputs !== undefined) throw brokeContract('sent something after it had completed the stage');
      if (response?.$case === 'event') await emit(toStageEvent(response.value));
      else if (response?.$case === 'failed') throw toFailure(response.value);
      else if (response?.$case === 'completed') outputs = response.value.outputs;
      else throw brokeContract('sent a message that says nothing');
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    void messages.return(undefined).catch(() => {});
  }
  signal.throwIfAborted();
  if (outputs === undefined) throw brokeContract('ended the stage without saying whether it completed or failed');
  return outputs;
}
