import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inject, injectable } from 'inversify';
import type { Artifact, ArtifactWriter } from '../artifacts/artifact.js';
import type { ArtifactStore, StageCacheEntry } from '../artifacts/artifact-store.js';
import { makeCacheFolder } from '../config/cache-folder.js';
import type { Settings } from '../config/settings.js';
import type { EventDraft } from '../events/catalogue.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { requireInputColumns } from '../plugin/columns.js';
import type { StageDefinition } from '../plugin/definitions.js';
import { HookDriver } from '../plugin/hook-driver.js';
import { owningStrayErrors } from '../plugin/stray-errors.js';
import { waitForLock } from '../process/wait-for-lock.js';
import type { PlannedStage } from '../recipe/plan.js';
import { changedSincePlanned } from './code-changes.js';
import { filesChangedSincePlanned, requirePlannedFiles } from './file-changes.js';
import { GraderPool } from './grader-pool.js';
import { MemoryMeter } from './memory-meter.js';
import { RunEnding } from './run-ending.js';
import { linkOutputs } from './run-folder.js';
import { RunRecorder } from './run-recorder.js';
import type { RunInfo } from './run-scope.js';
import { BudgetGuard } from './spending/budget-guard.js';
import { openStageContext, type StageInputValues } from './stage-context.js';
import { checkStageOutputs, followStageRun } from './stage-outputs.js';
import { toldAgain } from './stage-warnings.js';
import { ArtifactStoreToken, PluginCatalogToken, RunInfoToken, SettingsToken } from './tokens.js';
import { TrainerPool } from './trainer-pool.js';
import { versionsChangedSincePlanned } from './version-changes.js';

/** Output name to artifact URI. */
export type StageOutputUris = Readonly<Record<string, string>>;

/** A stage whose inputs are there: what it is, and what it works on. */
export interface ReadyStage {
  readonly stage: PlannedStage;
  readonly key: string;
  /** Ordinal of this attempt in the run. */
  readonly attempt: number;
  /** Input name to the URIs of what it takes. */
  readonly inputs: Readonly<Record<string, string | readonly string[]>>;
  /** Does what the stage only waits for: where that takes long, others have its slots meanwhile. */
  whileIdle<T>(work: Promise<T>): Promise<T>;
  /** The same of what a trainer is started with: once that is there, the stage keeps its slots. */
  whilePreparing<T>(work: Promise<T>): Promise<T>;
}

/** Does one stage: from the cache, or by running it. */
@injectable()
export class StageRunner {
  readonly #run: RunInfo;
  readonly #settings: Settings;
  readonly #store: ArtifactStore;
  readonly #catalog: PluginCatalog;
  readonly #recorder: RunRecorder;
  readonly #ending: RunEnding;
  readonly #trainers: TrainerPool;
  readonly #graders: GraderPool;
  readonly #budget: BudgetGuard;
  readonly #hooks: HookDriver;

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(SettingsToken) settings: Settings,
    @inject(ArtifactStoreToken) store: ArtifactStore,
    @inject(PluginCatalogToken) catalog: PluginCatalog,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(RunEnding) ending: RunEnding,
    @inject(TrainerPool) trainers: TrainerPool,
    @inject(GraderPool) graders: GraderPool,
    @inject(BudgetGuard) budget: BudgetGuard,
    @inject(HookDriver) hooks: HookDriver,
  ) {
    this.#run = run;
    this.#settings = settings;
    this.#store = store;
    this.#catalog = catalog;
    this.#recorder = recorder;
    this.#ending = ending;
    this.#trainers = trainers;
    this.#graders = graders;
    this.#budget = budget;
    this.#hooks = hooks;
  }

  /** The outputs that an earlier run made, told again in this one; undefined where there are none. */
  async reuse(ready: ReadyStage): Promise<StageOutputUris | undefined> {
    const found = await this.#store.stages.lookup(ready.key);
    if (found === undefined) return undefined;
    using _held = await this.#store.hold(Object.values(found.outputs));
    const entry = await this.#store.stages.lookup(ready.key);
    // Held until it is told.
    return entry && (await this.#tellReused(ready, entry));
  }

  /**
   * Runs the stage to its end. Its outputs are in the cache before `stage.completed` is said: a core killed between the
   * two finds them there. They are in no cache where code, files or versions were changed meanwhile that it may have gone by.
   * @throws what the stage throws, or the signal's reason
   */
  async execute(ready: ReadyStage): Promise<StageOutputUris> {
    const { stage, key, attempt } = ready;
    const log = this.#recorder.log({ source: 'engine', stage: stage.name, attempt });
    using _held = await this.#store.holds.hold([key]);
    // Two runs that come to the same stage at once would share its scratch folder: the second finds it in the cache then.
    await using _lock = await waitForLock(join(this.#store.home, 'locks', key), {
      signal: this.#ending.signal,
      runId: this.#run.runId,
      onWait: (why) => log.warning(`The same stage is being made elsewhere; waiting for what comes of it. ${why}`),
    });
    // While this stage waited for its slots or its lock, another may have made the same.
    const reused = await this.reuse(ready);
    if (reused !== undefined) return reused;

    const { definition } = await this.#catalog.stage(stage.uses);
    const uses = stage.uses;
    await this.#recorder.emit({ type: 'stage.started', stage: stage.name, attempt, data: { uses, key } });
    await requirePlannedFiles(stage, this.#run.plan);
    const startedAt = performance.now();
    using meter = new MemoryMeter(() => [process.pid, ...this.#trainers.processIds(stage.trainers)]);
    const { options } = stage;
    const hooked = {
      runId: this.#run.runId,
      stage: stage.name,
      uses,
      attempt,
      options,
      signal: this.#ending.signal,
      log,
    };
    using warnings = this.#recorder.warningsOf(stage.name, attempt);
    // What it wrote is held until the log tells of it.
    await using writer = this.#store.writer();
    const { artifacts, facts } = await this.#hooks.aroundStage(hooked, () => this.#work(ready, definition, writer));
    for (const [output, artifact] of artifacts) {
      const bytes = artifact.files.reduce((sum, file) => sum + file.size, 0);
      const data = { uri: artifact.uri, output, bytes };
      await this.#recorder.emit({ type: 'artifact.committed', stage: stage.name, attempt, data });
    }
    const outputs = Object.fromEntries([...artifacts].map(([output, artifact]) => [output, artifact.uri]));
    const seconds = (performance.now() - startedAt) / 1000;
    const changed = await this.#changedSincePlanned(stage);
    for (const what of changed) {
      log.warning(
        `${what} was changed while the run went on. The stage may have gone by what was there before or by what is there ` +
          'now, so that no other run reuses what it made.',
      );
    }
    if (changed.length === 0) {
      await this.#recorder.flushed();
      await this.#store.stages.record(key, {
        format: 1,
        key,
        uses,
        stage: stage.name,
        outputs,
        runId: this.#run.runId,
        createdAt: new Date().toISOString(),
        seconds,
        facts: [...facts, ...warnings.found],
      });
    }
    const peakMemoryBytes = await meter.peakBytes();
    await this.#recorder.emit({
      type: 'stage.completed',
      stage: stage.name,
      attempt,
      data: { uses, key, outputs, seconds, peakMemoryBytes },
    });
    await this.#tidy(stage.name, async () => {
      await linkOutputs(this.#run.runFolder, this.#store.home, stage.name, artifacts);
      await rm(await this.#store.scratchFolder(key), { recursive: true, force: true });
    });
    return outputs;
  }

  /** What may not be any more as the stage's key has it, in words. */
  async #changedSincePlanned(stage: PlannedStage): Promise<readonly string[]> {
    const { plan, namedPython } = this.#run;
    const place = { catalog: this.#catalog, settings: this.#settings, namedPython };
    const plugins = await changedSincePlanned(stage, plan, this.#catalog);
    return [
      ...plugins.map((plugin) => `The code of ${plugin}`),
      ...(await versionsChangedSincePlanned(stage, plan, place)),
      ...(await filesChangedSincePlanned(stage, plan)),
    ];
  }

  /** Links what a stage made in the run folder. */
  async link(stage: string, outputs: StageOutputUris): Promise<void> {
    await this.#tidy(stage, async () => {
      const opened = new Map<string, Artifact>();
      for (const [output, uri] of Object.entries(outputs)) opened.set(output, await this.#store.open(uri));
      await linkOutputs(this.#run.runFolder, this.#store.home, stage, opened);
    });
  }

  /** What comes after a stage is done for good: where it fails, the stage is still done. */
  async #tidy(stage: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#recorder.log({ source: 'engine', stage }).warning(`Could not tidy up after the stage: ${reason}`);
    }
  }

  async #work(ready: ReadyStage, definition: StageDefinition, artifacts: ArtifactWriter) {
    const { stage, key, attempt } = ready;
    const { signal } = this.#ending;
    const { cacheFolder, python } = this.#settings;
    await makeCacheFolder(cacheFolder);
    const opened = openStageContext({
      runId: this.#run.runId,
      stage,
      attempt,
      key,
      inputs: await this.#openInputs(ready, definition),
      artifacts,
      scratchFolder: await this.#store.scratchFolder(key),
      keptFolder: (digest) => this.#store.keptFolder(digest, key),
      recipeFolder: this.#run.plan.recipeFolder,
      cacheFolder,
      ...(python === undefined ? {} : { python }),
      signal,
      recorder: this.#recorder,
      trainers: this.#trainers,
      whileIdle: ready.whileIdle,
      whilePreparing: ready.whilePreparing,
      graders: this.#graders,
      budget: this.#budget,
    });
    const holder = `stage ${stage.name}`;
    try {
      signal.throwIfAborted();
      // It is this process that holds it: gone with it.
      await this.#budget.hold({ name: holder, resources: stage.resources, unattendedSeconds: 0 });
      requireInputColumns(definition, opened.context.options, opened.context.inputs);
      const outputs = await owningStrayErrors(() =>
        followStageRun(definition.run(opened.context), opened.context.emit, signal),
      );
      return { artifacts: checkStageOutputs(outputs, definition.outputs), facts: opened.facts };
    } finally {
      opened.close();
      await this.#budget.release(holder);
    }
  }

  /** Each declared input: an artifact, a list of them, or undefined for one that is optional and left out. */
  async #openInputs(ready: ReadyStage, definition: StageDefinition): Promise<StageInputValues> {
    const inputs: Record<string, StageInputValues[string]> = {};
    for (const [name, { many }] of Object.entries(definition.inputs)) {
      const uris = [ready.inputs[name] ?? []].flat();
      const artifacts = await Promise.all(uris.map((uri) => this.#store.open(uri)));
      inputs[name] = many ? artifacts : artifacts[0];
    }
    return inputs;
  }

  /**
   * Tells the stage's figures and warnings again, and then that it was reused: a core killed in between tells them once
   * more, which harms nobody, while one that was killed the other way round would have lost them.
   */
  async #tellReused(ready: ReadyStage, entry: StageCacheEntry): Promise<StageOutputUris> {
    const { stage, key, attempt } = ready;
    const { outputs, runId: madeBy } = entry;
    const told: readonly EventDraft[] = [
      ...toldAgain(entry, this.#run.runId, stage.name),
      { type: 'stage.reused', data: { uses: stage.uses, key, outputs, madeBy } },
    ];
    await this.#recorder.emitAll(told.map((draft) => ({ ...draft, stage: stage.name, attempt })));
    await this.link(stage.name, outputs);
    return outputs;
  }
}
