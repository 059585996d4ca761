import { Container } from 'inversify';
import type { Settings } from '../config/settings.js';
import { GraderPool } from '../engine/grader-pool.js';
import { Run } from '../engine/run.js';
import { RunEnding } from '../engine/run-ending.js';
import { eventsFile, keepPlan } from '../engine/run-folder.js';
import { RunRecorder } from '../engine/run-recorder.js';
import type { OpenRunRequest, OpenRunScope, RunInfo } from '../engine/run-scope.js';
import { SinkDriver } from '../engine/sinks/sink-driver.js';
import { BudgetGuard } from '../engine/spending/budget-guard.js';
import { StageRunner } from '../engine/stage-runner.js';
import { Standing, stagesDone } from '../engine/standing.js';
import {
  ArtifactStoreToken,
  LogFileSystemToken,
  PluginCatalogToken,
  RunInfoToken,
  RunResourceToken,
  SettingsToken,
  SinkSourceToken,
} from '../engine/tokens.js';
import { TrainerPool } from '../engine/trainer-pool.js';
import { namedPython } from '../engine/version-changes.js';
import { EventBus } from '../events/event-bus.js';
import { RunLog } from '../events/run-log.js';
import { HookDriver } from '../plugin/hook-driver.js';
import { present } from '../present.js';
import { acquireRunLock } from '../process/run-lock.js';

/** Makes the scopes of runs: for each the lock, the log, and a child container with its services. */
export function runScopes(core: Container): OpenRunScope {
  return async ({ sinks, cancelSignal, ...taken }) => {
    const { runId, runFolder } = taken;
    const closers: (() => Promise<void>)[] = [];
    const closeAll = async () => {
      // One that fails to close keeps none of the others open: the lock above all must come free.
      for (const close of closers.reverse())
        await close().catch((error: unknown) => process.emitWarning(String(error)));
    };
    try {
      const lock = await acquireRunLock(runFolder, cancelSignal === undefined ? {} : { cancelSignal });
      closers.push(async () => lock[Symbol.asyncDispose]());
      await keepPlan(runFolder, taken.plan);
      const standing = new Standing(Object.keys(taken.plan.trainers));
      const { log, lastSequence, droppedBytes } = await RunLog.open(eventsFile(runFolder), {
        fileSystem: core.get(LogFileSystemToken),
        onRead: (events) => standing.see(events),
      });
      closers.push(() => log.close());
      const { state, trainerMemory } = standing;
      const made = await stagesDone(state, core.get(ArtifactStoreToken));
      const bus = new EventBus({ runId, log, lastSequence });
      closers.push(() => bus.close());
      const torn = `The last line of the log was torn when the former core died; its ${droppedBytes} bytes were dropped.`;
      const hooks = await HookDriver.of(core.get(PluginCatalogToken));
      const warnings = [...taken.warnings, ...made.warnings, ...(droppedBytes === 0 ? [] : [torn])];
      const isAttended = cancelSignal !== undefined;
      const given = core.get(SettingsToken);
      const python = namedPython(given, state.python);
      // For all of the run: its stages, graders and trainers.
      const settings = { ...given, ...present({ python }) };
      const known = { state, trainerMemory, done: made.done, ...present({ namedPython: python }) };
      const info = { ...known, ...taken, isAttended, warnings };
      const container = runContainer(core, sinks, { bus, hooks, settings }, info);
      closers.push(() => container.unbindAllAsync());
      const run = container.get(Run);
      return {
        interrupt: (reason, patienceSeconds) => run.interrupt(reason, patienceSeconds),
        dropReplies: () => run.dropReplies(),
        execute: () => run.execute().finally(closeAll),
      };
    } catch (error) {
      await closeAll();
      throw error;
    }
  };
}

function runContainer(
  core: Container,
  sinks: OpenRunRequest['sinks'],
  { bus, hooks, settings }: { readonly bus: EventBus; readonly hooks: HookDriver; readonly settings: Settings },
  info: RunInfo,
): Container {
  const container = new Container({ parent: core, defaultScope: 'Singleton' });
  container.bind(RunInfoToken).toConstantValue(info);
  container.bind(EventBus).toConstantValue(bus);
  container.bind(HookDriver).toConstantValue(hooks);
  container.bind(SettingsToken).toConstantValue(settings);
  for (const service of [RunRecorder, RunEnding, BudgetGuard, TrainerPool, GraderPool, StageRunner, SinkDriver, Run]) {
    container.bind<unknown>(service).to(service);
  }
  container.bind(RunResourceToken).toService(TrainerPool);
  container.bind(RunResourceToken).toService(GraderPool);
  for (const { uses, options } of info.plan.sinks) {
    container.bind(SinkSourceToken).toConstantValue({ kind: 'plugin', uses, options });
  }
  for (const [index, sink] of sinks.entries()) {
    container.bind(SinkSourceToken).toConstantValue({ kind: 'given', name: `caller ${index + 1}`, sink });
  }
  for (const hook of hooks.eventHooks()) container.bind(SinkSourceToken).toConstantValue({ kind: 'hook', ...hook });
  return container;
}
