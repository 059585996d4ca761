import { join } from 'node:path';
import { inject, injectable } from 'inversify';
import { gpuDevices } from '../config/machine.js';
import type { Settings } from '../config/settings.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { LaunchedProcess } from '../plugin/definitions.js';
import { present } from '../present.js';
import { GpuDevices } from '../trainer/gpu-devices.js';
import type { StageScope } from '../trainer/supervised-training.js';
import type { Trainer } from '../trainer/trainer.js';
import { formerProcessId } from '../trainer/trainer-process.js';
import { defaultLeaseSeconds, TrainerSupervisor } from '../trainer/trainer-supervisor.js';
import { RunRecorder } from './run-recorder.js';
import type { RunInfo, RunResource } from './run-scope.js';
import { BudgetGuard } from './spending/budget-guard.js';
import { endedBy, meteredLauncher } from './spending/metered-launcher.js';
import { PluginCatalogToken, RunInfoToken, SettingsToken } from './tokens.js';

/** How long a trainer without a core may take for its last checkpoint, after its lease. */
const checkpointSeconds = 60;
/** How long one that a former core started may take to end, its checkpoint included. */
const formerGraceMilliseconds = 30_000;

/** The run's trainers: each is started when a stage first asks for it, and ends when no stage can need it any more. */
@injectable()
export class TrainerPool implements RunResource {
  readonly #run: RunInfo;
  readonly #catalog: PluginCatalog;
  readonly #settings: Settings;
  readonly #recorder: RunRecorder;
  readonly #budget: BudgetGuard;
  readonly #gpus: GpuDevices;
  readonly #supervisors = new Map<string, Promise<TrainerSupervisor>>();
  readonly #running = new Map<string, TrainerSupervisor>();
  /** Started by a former core, and going on. */
  readonly #former = new Map<string, LaunchedProcess>();

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(PluginCatalogToken) catalog: PluginCatalog,
    @inject(SettingsToken) settings: Settings,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(BudgetGuard) budget: BudgetGuard,
  ) {
    this.#run = run;
    this.#catalog = catalog;
    this.#settings = settings;
    this.#recorder = recorder;
    this.#budget = budget;
    this.#gpus = new GpuDevices(settings.cacheFolder, gpuDevices(process.env, settings.resources.gpus));
  }

  /**
   * Counts the hardware that a former core left held: of a trainer that still runs on and on, of one that is gone up to
   * when it ended at the latest. Before anything else is spent.
   */
  async settleFormer(): Promise<void> {
    const { holdings } = this.#run.state.spending;
    for (const [holder, holding] of Object.entries(holdings)) {
      const planned = this.#run.plan.trainers[holder.replace(/^trainer /, '')];
      const folder = planned === undefined ? undefined : this.#folderOf(planned.name);
      const pid = folder === undefined ? undefined : await formerProcessId(folder);
      if (planned !== undefined && pid !== undefined) {
        const { definition } = await this.#catalog.launcher(planned.launcher.uses);
        const running = await definition.attach(pid, planned.launcher.options);
        if (running !== undefined) {
          this.#budget.adopt(holder, () => running.terminate(0));
          this.#former.set(planned.name, running);
          const ended = running.exited.then(() => this.#former.delete(planned.name));
          void ended.then(() => this.#budget.release(holder)).catch(() => undefined);
          continue;
        }
      }
      await this.#budget.settleFormer(holder, await endedBy(holding, this.#run.state.lastEventAt, folder));
    }
  }

  /** The trainer of that name in the recipe, for one stage. */
  async forStage(name: string, stage: StageScope): Promise<Trainer> {
    let supervisor = this.#supervisors.get(name);
    if (supervisor === undefined) {
      supervisor = this.#supervise(name);
      this.#supervisors.set(name, supervisor);
      supervisor.catch(() => this.#supervisors.delete(name));
    }
    const trainer = (await supervisor).forStage(stage);
    return { ...trainer, train: (request) => this.#budget.whileTraining(() => trainer.train(request)) };
  }

  /** Of those of the named trainers that run. */
  processIds(names: readonly string[]): readonly number[] {
    return names.flatMap((name) => this.#running.get(name)?.processIds() ?? []);
  }

  /** Shuts the trainer down: what it still does, it keeps in a checkpoint first. Does nothing where it was not started. */
  async release(name: string): Promise<void> {
    const supervisor = this.#supervisors.get(name);
    this.#supervisors.delete(name);
    this.#budget.stopping(holderOf(name));
    try {
      await (await supervisor)?.dispose('shutdown');
      // No stage has taken it up: nobody would end it but its lease.
      await this.#former.get(name)?.terminate(formerGraceMilliseconds);
    } catch (error) {
      this.#recorder
        .log({ source: `trainer ${name}` })
        .warning(
          `The trainer "${name}" could not be shut down: ${error instanceof Error ? error.message : String(error)}`,
        );
    } finally {
      this.#running.delete(name);
      await this.#budget.release(holderOf(name));
    }
  }

  /** Ends those that nobody works with. */
  async releaseIdle(isAtWork: (name: string) => boolean): Promise<void> {
    const names = new Set([...this.#supervisors.keys(), ...this.#former.keys()]);
    await Promise.all([...names].filter((name) => !isAtWork(name)).map((name) => this.release(name)));
  }

  async end(): Promise<void> {
    await this.releaseIdle(() => false);
  }

  #folderOf(name: string): string {
    return join(this.#run.runFolder, 'trainers', name);
  }

  async #supervise(name: string): Promise<TrainerSupervisor> {
    const planned = this.#run.plan.trainers[name];
    const memory = this.#run.trainerMemory.get(name);
    if (planned === undefined || memory === undefined) throw new Error(`The plan has no trainer "${name}".`);
    const [trainer, launcher] = await Promise.all([
      this.#catalog.trainer(planned.uses),
      this.#catalog.launcher(planned.launcher.uses),
    ]);
    const supervisor = new TrainerSupervisor({
      planned,
      definition: trainer.definition,
      launcher: meteredLauncher(launcher.definition, this.#budget, {
        name: holderOf(name),
        resources: planned.resources,
        unattendedSeconds: defaultLeaseSeconds() + checkpointSeconds,
      }),
      runId: this.#run.runId,
      runFolder: this.#run.runFolder,
      cacheFolder: this.#settings.cacheFolder,
      gpus: this.#gpus,
      ...present({ python: this.#settings.python }),
      recipeFolder: this.#run.plan.recipeFolder,
      emit: (...drafts) => this.#recorder.emitAll(drafts),
      memory,
    });
    this.#running.set(name, supervisor);
    return supervisor;
  }
}

function holderOf(trainer: string): string {
  return `trainer ${trainer}`;
}
