import { join } from 'node:path';
import type { TableArtifact } from '../artifacts/artifact.js';
import type { Settings } from '../config/settings.js';
import { estimatePlan } from '../engine/estimate-plan.js';
import { missingSecrets } from '../engine/missing-secrets.js';
import type { ByteRange, RunArtifact } from '../engine/past-runs/run-artifacts.js';
import { previewPlan } from '../engine/preview.js';
import { eventsFile, readPlan } from '../engine/run-folder.js';
import { isHeld } from '../engine/run-history.js';
import type { RunManager } from '../engine/run-manager.js';
import type { RunHandle, RunSummary } from '../engine/run-outcome.js';
import { beyondMachine } from '../engine/scheduled-stages.js';
import type { Event } from '../events/catalogue.js';
import { followEvents, readEvents } from '../events/replay.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { describePlugin } from '../plugin/describe-plugin.js';
import { installedPlugins } from '../plugin/installed.js';
import { type ListedPlugin, sourceOf } from '../plugin/plugin-reference.js';
import { budgetChangeOf } from '../recipe/budget-change.js';
import { type Inspection, inspectionOf } from '../recipe/inspection.js';
import { loadRecipe } from '../recipe/load-recipe.js';
import type { Overrides } from '../recipe/overrides.js';
import { planDigest } from '../recipe/plan-digest.js';
import { planRecipe } from '../recipe/plan-recipe.js';
import { recipeJsonSchema } from '../recipe/recipe-json-schema.js';
import { type RunConsoleOptions, runConsole } from './run-console.js';
import { sayToPeople } from './terminal.js';
import type { ResumeOptions, StartedRun, StartOptions, Workspace } from './workspace.js';
import {
  catalogOf,
  catalogOfPlan,
  quickstartRecipe,
  settingsFrom,
  shownPath,
  type WorkspaceFlags,
} from './workspace.js';

/** The home of this machine; runs are run by this process. */
export class LocalWorkspace implements Workspace {
  readonly #settings: Settings;

  private constructor(settings: Settings) {
    this.#settings = settings;
  }

  static async open(flags: WorkspaceFlags): Promise<LocalWorkspace> {
    return new LocalWorkspace(await settingsFrom(flags));
  }

  get place(): string {
    return shownPath(this.#settings.home);
  }

  async validate(file: string, given: Overrides) {
    const recipe = await loadRecipe(file, given);
    const plan = await planRecipe(recipe, catalogOf(recipe, this.#settings), this.#settings);
    const stages = plan.stages.map((stage) => stage.name);
    return { recipe: plan.recipe, file: recipe.file, stages, trainers: Object.keys(plan.trainers) };
  }

  async plan(file: string, given: Overrides) {
    const recipe = await loadRecipe(file, given);
    const catalog = catalogOf(recipe, this.#settings);
    await using _kept = catalog.keepProcesses();
    const plan = await planRecipe(recipe, catalog, this.#settings);
    // As the run manager would, without the quarter of a second that it takes to load all that runs need.
    const store = await openStore(this.#settings.home);
    const stages = await previewPlan(plan, store.stages);
    const estimates = await estimatePlan(plan, catalog, store, this.#settings);
    const beyond = beyondMachine(plan, this.#settings.resources).map(({ name }) => name);
    const secrets = await missingSecrets(plan, async () => stages);
    return {
      digest: planDigest(plan),
      plan,
      stages,
      estimates,
      beyondMachine: beyond,
      missingSecrets: secrets,
    };
  }

  async plugins(file: string | undefined) {
    return Promise.all((await (await this.#catalogWith(file)).all()).map(describePlugin));
  }

  async schema(file: string | undefined) {
    return recipeJsonSchema(await this.#catalogWith(file));
  }

  async runs() {
    return (await this.#manager()).list();
  }

  async find(name: string) {
    return (await this.#manager()).find(name);
  }

  async writeReport(name: string) {
    const { runId, runFolder } = await this.find(name);
    const manager = await this.#manager(catalogOfPlan(await readPlan(runFolder), this.#settings));
    const { RunArtifacts } = await import('../engine/past-runs/run-artifacts.js');
    return { runId, reportPath: await manager.writeReport(runId), id: RunArtifacts.reportId(runId) };
  }

  async artifacts({ runId, runFolder }: RunSummary) {
    const { RunArtifacts } = await import('../engine/past-runs/run-artifacts.js');
    return new RunArtifacts(this.#settings.home).list(runId, runFolder);
  }

  async *readArtifact(range: ByteRange) {
    const { RunArtifacts } = await import('../engine/past-runs/run-artifacts.js');
    yield* new RunArtifacts(this.#settings.home).read(range);
  }

  async openTable({ id }: RunArtifact) {
    return (await (await this.store()).open(id)) as TableArtifact;
  }

  watch({ runFolder }: RunSummary, { from = 1, signal }: { from?: number; signal?: AbortSignal } = {}) {
    return followEvents(eventsFile(runFolder), { fromSequence: from, ...(signal === undefined ? {} : { signal }) });
  }

  isHeld({ runFolder }: RunSummary) {
    return isHeld(runFolder);
  }

  planOf({ runFolder }: RunSummary) {
    return readPlan(runFolder);
  }

  history({ runFolder }: RunSummary, { from = 1 }: { from?: number } = {}) {
    return readEvents(eventsFile(runFolder), { fromSequence: from });
  }

  briefHistory({ runFolder }: RunSummary) {
    return readEvents(eventsFile(runFolder), { isBrief: true });
  }

  async start(file: string | undefined, given: Overrides, options: StartOptions) {
    const recipe = await loadRecipe(file ?? quickstartRecipe(), given);
    const catalog = catalogOf(recipe, this.#settings);
    const plan = await planRecipe(recipe, catalog, this.#settings);
    const manager = await this.#manager(catalog);
    return started(await manager.start(plan, { recipeText: recipe.text, ...options }));
  }

  /** As `start`, of the recipe up to a training stage that is inspected instead. */
  async startInspection(file: string, given: Overrides, what: Inspection, options: StartOptions) {
    const whole = await loadRecipe(file, given);
    const catalog = catalogOf(whole, this.#settings);
    const recipe = inspectionOf(whole, await planRecipe(whole, catalog, this.#settings), what);
    const manager = await this.#manager(catalog);
    const plan = await planRecipe(recipe, catalog, this.#settings);
    return started(await manager.start(plan, { recipeText: recipe.text, ...options }));
  }

  async cancel(run: RunSummary, dropsReplies: boolean) {
    const { cancelRun } = await import('../engine/cancel-run.js');
    await cancelRun(run, this.#settings.home, dropsReplies);
    return this.find(run.runId);
  }

  async remove(runs: readonly RunSummary[], dryRun: boolean) {
    const { removeRuns } = await import('../engine/past-runs/remove-runs.js');
    return removeRuns(runs, { store: await this.store(), dryRun });
  }

  async explainRow(run: RunSummary, row: string) {
    const { explainRow } = await import('../engine/past-runs/explain-row.js');
    return explainRow(run, row, await this.store());
  }

  async diffEvaluations(before: RunSummary, after: RunSummary) {
    const { diffEvaluations } = await import('../engine/past-runs/eval-diff.js');
    return diffEvaluations(before, after, await this.store());
  }

  store() {
    return openStore(this.#settings.home);
  }

  async resume({ runId, runFolder }: RunSummary, { overrides, ...options }: ResumeOptions) {
    const budgetChange = budgetChangeOf(overrides);
    const manager = await this.#manager(catalogOfPlan(await readPlan(runFolder), this.#settings));
    return started(await manager.resume(runId, { ...options, ...(budgetChange && { budgetChange }) }));
  }

  console(options: Omit<RunConsoleOptions, 'source'>) {
    const { home } = this.#settings;
    return runConsole({
      ...options,
      source: {
        runFolder: async (runId) => join(home, 'runs', runId),
        openArtifact: async (uri) => (await openStore(home)).open(uri),
        eventsOf: (runId) => readEvents(eventsFile(join(home, 'runs', runId))),
      },
    });
  }

  async [Symbol.asyncDispose]() {}

  async #manager(catalog: PluginCatalog = catalogOf()): Promise<RunManager> {
    const { createRunManager } = await import('../container/create-run-manager.js');
    return createRunManager({ settings: this.#settings, catalog });
  }

  /** With the plugins of a recipe; without one, with those that are installed here and work. */
  async #catalogWith(file: string | undefined): Promise<PluginCatalog> {
    if (file !== undefined) return catalogOf(await loadRecipe(file, { params: {}, overrides: {} }), this.#settings);
    const folder = process.cwd();
    const catalog = catalogOf({ plugins: installedPlugins(folder), folder }, this.#settings);
    const working: ListedPlugin[] = [];
    for (const reference of catalog.recipePlugins) {
      try {
        await catalog.recipePlugin(reference);
        working.push(reference);
      } catch (error) {
        sayToPeople(`The plugin ${sourceOf(reference)} is left out: ${(error as Error).message}`);
      }
    }
    return working.length === catalog.recipePlugins.length
      ? catalog
      : catalogOf({ plugins: working, folder }, this.#settings);
  }
}

async function openStore(home: string) {
  // Not loaded where no artifact is looked at.
  const { ArtifactStore } = await import('../artifacts/artifact-store.js');
  return ArtifactStore.open(home);
}

/** Read from the log and not from the bus: a slow reader then loses nothing and holds up nobody. */
function started(handle: RunHandle): StartedRun {
  return { ...handle, follow: (fromSequence) => followUntilGone(handle, fromSequence) };
}

/** Ends also with a run that could not write its last event. */
async function* followUntilGone({ runFolder, finished }: RunHandle, fromSequence: number): AsyncIterable<Event> {
  const writerGone = new AbortController();
  let next = fromSequence;
  void finished.then(() => writerGone.abort());
  for await (const event of followEvents(eventsFile(runFolder), { fromSequence, signal: writerGone.signal })) {
    next = event.sequence + 1;
    yield event;
  }
  await finished;
  yield* readEvents(eventsFile(runFolder), { fromSequence: next });
}
