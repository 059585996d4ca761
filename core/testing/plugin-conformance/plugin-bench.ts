import { randomUUID } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact, ArtifactType, ArtifactWriter } from '../../artifacts/artifact.js';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { checkStageEvent } from '../../engine/check-stage-event.js';
import { UserError } from '../../errors.js';
import type { DescribeResponse, RunStageRequest, RunStageResponse } from '../../generated/simmer/plugin/v1/plugin.js';
import type { OptionProblem, PluginDefinition, StageDefinition } from '../../plugin/definitions.js';
import { silentLog } from '../../plugin/log.js';
import { type HostedContext, HostedSpending, HostedStage } from '../../plugin/process/hosted-call.js';
import { KeptProcess } from '../../plugin/process/kept-process.js';
import { definitionOf } from '../../plugin/process/load-process-plugin.js';
import type { PluginCommand } from '../../plugin/process/plugin-process.js';
import { ProcessKeeper } from '../../plugin/process/process-keeper.js';
import type { ProcessPlugin } from '../../plugin/process/process-plugin.js';
import { fromArtifact, plainJson, toStageEvent } from '../../plugin/process/wire.js';
import type { Grader, Trainer } from '../../trainer/trainer.js';
import { demand } from '../verification.js';
import { PluginUnderTest } from './plugin-under-test.js';
import { sampleOptions } from './sample-options.js';

/** What a trainer of the recipe is called that the checks stand in for. */
const trainerName = 'student';

interface PluginBenchOptions {
  readonly plugin: ProcessPlugin;
  readonly command: PluginCommand;
  readonly folder: string;
  /** How long whatever has no limit of its own may take, in seconds. */
  readonly patience: number;
}

/** A run of a stage that is under way. */
export interface StageCall {
  readonly callId: string;
  readonly messages: AsyncGenerator<RunStageResponse>;
  readonly stage: HostedStage;
  /** What was wrong with events that the plugin said to its host. */
  readonly eventFaults: readonly unknown[];
  /** The host answers with CANCELLED from here on. */
  abort(): void;
}

/** What all checks of one plugin share: processes of it, a store for what it makes, and inputs for its stages. */
export class PluginBench {
  readonly options: PluginBenchOptions;
  readonly #store: ArtifactStore;
  readonly #started: PluginUnderTest[] = [];
  readonly #writers: AsyncDisposable[] = [];
  #shared: Promise<PluginUnderTest> | undefined;
  #description: Promise<DescribeResponse> | undefined;
  /** What the checks of stages find wrong with the options that they are run with. */
  readonly #problems = new Map<string, Promise<readonly OptionProblem[]>>();
  #inputs: Promise<Readonly<Record<ArtifactType, Artifact>>> | undefined;

  private constructor(options: PluginBenchOptions, store: ArtifactStore) {
    this.options = options;
    this.#store = store;
  }

  static async open(options: PluginBenchOptions): Promise<PluginBench> {
    return new PluginBench(options, await ArtifactStore.open(join(options.folder, 'home')));
  }

  /** The process that most checks talk to; a new one where a check has ended it. */
  shared(): Promise<PluginUnderTest> {
    this.#shared ??= this.fresh();
    return this.#shared;
  }

  /** The next check gets another process. */
  discardShared(): void {
    this.#shared = undefined;
  }

  /** A process of the check's own. */
  async fresh(): Promise<PluginUnderTest> {
    return (await this.spawn()).connect(this.options.plugin.called);
  }

  async spawn(protocols?: string): Promise<PluginUnderTest> {
    const { command, folder, patience } = this.options;
    const process = await PluginUnderTest.spawn(command, {
      folder,
      patience,
      ...(protocols === undefined ? {} : { protocols }),
    });
    this.#started.push(process);
    return process;
  }

  describe(): Promise<DescribeResponse> {
    this.#description ??= this.shared().then((process) => process.client.describe(this.options.patience));
    return this.#description;
  }

  /** The plugin as the host would have it. @throws UserError `invalid_plugin` */
  async definition(): Promise<PluginDefinition> {
    const { cacheFolder, log, signal } = quiet(this.options.folder);
    const context = { cacheFolder, log, signal, recipeFolder: this.options.folder, emit: async () => {} };
    const kept = new KeptProcess(this.options.plugin, context, new ProcessKeeper());
    return definitionOf(await this.describe(), this.options.plugin, context, kept).definition;
  }

  async stages(): Promise<readonly (readonly [string, StageDefinition])[]> {
    return Object.entries((await this.definition()).stages ?? {});
  }

  /** Options that fit a schema. */
  sampleOptions(schema: StageDefinition['options']): Record<string, unknown> {
    return sampleOptions(schema, trainerName);
  }

  /**
   * Runs a stage with options and inputs that fit.
   * @param isHeld the host keeps what it commits waiting until it is aborted
   * @throws Deviation where its check finds something wrong with the options: Simmer would not run it with them
   */
  async run(
    process: PluginUnderTest,
    [name, definition]: readonly [string, StageDefinition],
    isHeld = false,
  ): Promise<StageCall> {
    const options = this.sampleOptions(definition.options);
    await this.#demandSound(process, [name, definition], options);
    const available = await this.#makeInputs();
    const inputs = Object.entries(definition.inputs).map(
      ([input, { types }]) => [input, available[types[0]!]] as const,
    );
    const abort = new AbortController();
    const place = join(this.options.folder, randomUUID());
    const folders = { temporaryFolder: join(place, 'temporary'), scratchFolder: join(place, 'scratch') };
    for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
    const writer = this.#writer();
    const eventFaults: unknown[] = [];
    const context: HostedContext = {
      ...quiet(this.options.folder),
      signal: abort.signal,
      scratchFolder: folders.scratchFolder,
      async keptFolder() {
        const folder = join(place, 'kept', 'key');
        await mkdir(folder, { recursive: true });
        return folder;
      },
      artifacts: isHeld ? held(writer, abort.signal) : writer,
      async emit(event) {
        try {
          checkStageEvent(event);
        } catch (error) {
          eventFaults.push(error);
          throw error;
        }
      },
      spending: { isLimited: false, reserve: async () => ({ settle() {} }) },
      trainer: async () => standInTrainer,
      grader: async () => standInGrader,
    };
    const stage = new HostedStage(
      context,
      folders.temporaryFolder,
      inputs.map(([, artifact]) => artifact),
    );
    const callId = randomUUID();
    const spending = new HostedSpending(context.spending);
    process.host.serve({ id: callId, log: context.log, spending, stage });
    const request: RunStageRequest = {
      callId,
      stage: name,
      options: plainJson(options),
      inputs: Object.fromEntries(inputs.map(([input, artifact]) => [input, { artifacts: [fromArtifact(artifact)] }])),
      seed: 7n,
      runId: 'verify',
      stageName: name,
      attempt: 1,
      ...folders,
      recipeFolder: this.options.folder,
      cacheFolder: this.options.folder,
      isSpendingLimited: false,
    };
    const messages = process.client.runStage(request);
    return { callId, messages, stage, eventFaults, abort: () => abort.abort(stopped()) };
  }

  /** @throws Deviation where a file was written into the folder of an input, UserError `artifact_damaged` */
  async demandInputsWhole(): Promise<void> {
    for (const { uri, folder, files } of Object.values(await this.#makeInputs())) {
      await this.#store.verify(uri);
      const known = ['manifest.json', ...files.map(({ path }) => path)];
      const added = (await readdir(folder)).find((name) => !known.includes(name));
      demand(added === undefined, 'nothing written into the folder of an input', added);
    }
  }

  /** Asked once of a stage; what is wrong with the answer itself is another check's. */
  async #demandSound(
    process: PluginUnderTest,
    [name, definition]: readonly [string, StageDefinition],
    options: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const { stages } = await this.describe();
    if (!stages.some((stage) => stage.name === name && stage.hasCheck)) return;
    const inputs = Object.fromEntries(Object.keys(definition.inputs).map((input) => [input, 1]));
    const where = { recipeFolder: this.options.folder, inputs };
    const asked = this.#problems.get(name) ?? process.client.checkStage(name, options, where).catch(() => []);
    this.#problems.set(name, asked);
    const [problem] = await process.within(asked, `what CheckStage of ${name} finds`);
    const expected = `options that the check of ${name} finds nothing wrong with, made up to fit its schema: give them \`examples\` or defaults that go together`;
    demand(problem === undefined, expected, problem?.message);
  }

  async close(): Promise<void> {
    await Promise.all(this.#started.map((process) => process.close()));
    for (const writer of this.#writers) await writer[Symbol.asyncDispose]();
  }

  #writer() {
    const writer = this.#store.writer();
    this.#writers.push(writer);
    return writer;
  }

  #makeInputs(): Promise<Readonly<Record<ArtifactType, Artifact>>> {
    this.#inputs ??= (async () => {
      const writer = this.#writer();
      const rows = [3, 4, 5, 6].map((n) => ({ id: `p${n}`, question: `What is ${n} + 1?`, answer: String(n + 1) }));
      const columns = { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' };
      const folder = await writer.temporaryFolder();
      await writeFile(join(folder, 'config.json'), '{"model_type":"verify"}');
      return {
        dataset: await writer.writeDataset(rows, { columns }),
        generations: await writer.writeGenerations(rows, { columns }),
        report: await writer.writeReport({ made: 'for verification' }),
        model: await writer.commitModel(folder),
      };
    })();
    return this.#inputs;
  }
}

/** Every message of a stage's run, each as a run takes it. @throws UserError `plugin_event_invalid`, `invalid_stage_event` */
export async function allMessages(call: StageCall): Promise<readonly RunStageResponse[]> {
  const messages: RunStageResponse[] = [];
  for await (const message of call.messages) {
    if (message.response?.$case === 'event') checkStageEvent(toStageEvent(message.response.value));
    messages.push(message);
  }
  return messages;
}

function quiet(folder: string) {
  return { log: silentLog, signal: new AbortController().signal, cacheFolder: folder };
}

function stopped(): UserError {
  return new UserError('interrupted', 'Stopped by the check.', { kind: 'interrupted' });
}

/** Commits nothing before the signal is aborted, and nothing after. */
function held(writer: ArtifactWriter, signal: AbortSignal): ArtifactWriter {
  const wait = () =>
    new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  const methods = ['writeDataset', 'writeGenerations', 'writeReport', 'commitModel', 'referenceModel'] as const;
  return { ...writer, ...Object.fromEntries(methods.map((name) => [name, wait])) };
}

const unused = () =>
  Promise.reject(new UserError('not_here', 'There is no trainer to be had while a plugin is verified.'));

/** Answers every prompt with "4". */
const standInTrainer: Trainer = {
  name: trainerName,
  describe: unused,
  train: unused,
  export: unused,
  inspect: unused,
  async *generate({ prompts, policies, sampling }) {
    for (const { id } of prompts) {
      for (const policyId of policies.length === 0 ? [''] : policies.map((policy) => policy.id)) {
        for (let sampleIndex = 0; sampleIndex < sampling.samples; sampleIndex++) {
          yield { kind: 'sample', sample: { ...answer, promptId: id, policyId, sampleIndex } };
        }
      }
    }
  },
};

const answer = {
  seed: 7n,
  promptTokens: 5,
  thinkingTokenIds: [],
  thinking: '',
  answerTokenIds: [4],
  answer: '4',
  interventions: [],
  thinkingEnd: 'none',
  finishReason: 'stop',
  sharedThinkingTokens: 0,
} as const;

/** Right where the texts are the same. */
const standInGrader: Grader = {
  grade: async (items) =>
    items.map(({ id, gold, answer: given }) => ({
      id,
      verdict: gold === given ? 'right' : 'wrong',
      parsedAnswer: given,
      parsedGold: gold,
      explanation: '',
    })),
};
