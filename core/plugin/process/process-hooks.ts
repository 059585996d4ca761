import { randomUUID } from 'node:crypto';
import { isUserError, UserError } from '../../errors.js';
import { Hook } from '../../generated/simmer/plugin/v1/hook.js';
import type { DescribeResponse } from '../../generated/simmer/plugin/v1/plugin.js';
import { wireNames } from '../../wire-names.js';
import type { PrepareContext, Sink } from '../definitions.js';
import type { HookedStage, PluginHooks } from '../hooks.js';
import type { Log } from '../log.js';
import { brokeContract } from './broke-contract.js';
import { EventBatches } from './event-batches.js';
import { namedFailure, toFailure } from './failure.js';
import type { KeptProcess } from './kept-process.js';
import type { PluginProcess } from './plugin-process.js';
import { type ProcessPlugin, startProcess } from './process-plugin.js';
import { stopWith } from './stop-with.js';
import { plainJson } from './wire.js';

/** What a plugin that is a process has to do with runs. */
export interface ProcessHooks {
  readonly hooks: PluginHooks;
  /** Its onEvent, for one run: with an end, which the hook of a plugin in this process does not need. */
  openEvents?(log: Log): Sink;
}

type HookName = keyof PluginHooks;

const hookNames = wireNames<HookName, Hook>({
  beforePlan: Hook.HOOK_BEFORE_PLAN,
  afterPlan: Hook.HOOK_AFTER_PLAN,
  aroundStage: Hook.HOOK_AROUND_STAGE,
  onEvent: Hook.HOOK_ON_EVENT,
});

/** @param kept is asked while a recipe is planned @throws UserError `invalid_plugin` */
export function processHooks(
  plugin: ProcessPlugin,
  { name, hooks }: DescribeResponse,
  kept: KeptProcess,
  machine: Pick<PrepareContext, 'cacheFolder' | 'python'>,
): ProcessHooks {
  const has = new Set(hooks.map(hookNames.name));
  if (has.has(undefined)) {
    throw new UserError('invalid_plugin', `Plugin ${plugin.called} has a hook that is not known.`, {
      hint: 'This is a mistake in the plugin, or it is made for a newer Simmer.',
    });
  }
  const called = (hook: HookName) => `The hook ${hook} of the plugin "${name}"`;
  const start = (context: Pick<PrepareContext, 'log' | 'signal'>) => startProcess(plugin, { ...machine, ...context });
  return {
    hooks: {
      ...(has.has('beforePlan')
        ? { beforePlan: (tree) => kept.ask(called('beforePlan'), ({ client }) => client.beforePlan(tree)) }
        : {}),
      ...(has.has('afterPlan')
        ? { afterPlan: (plan) => kept.ask(called('afterPlan'), ({ client }) => client.afterPlan(plan)) }
        : {}),
      ...(has.has('aroundStage')
        ? {
            aroundStage: async (stage, inside) => {
              await using process = await start(stage);
              await new HookedCall(process, stage, called('aroundStage'), plugin.called).follow(inside);
            },
          }
        : {}),
    },
    ...(has.has('onEvent') ? { openEvents: (log) => eventHook(start, called('onEvent'), log) } : {}),
  };
}

/** A hook around one stage, in a process of its own. */
class HookedCall {
  readonly #process: PluginProcess;
  readonly #stage: HookedStage;
  readonly #called: string;
  readonly #plugin: string;
  readonly #callId = randomUUID();

  constructor(process: PluginProcess, stage: HookedStage, called: string, plugin: string) {
    this.#process = process;
    this.#stage = stage;
    this.#called = called;
    this.#plugin = plugin;
  }

  /** @throws what is inside throws, whatever the hook makes of it; UserError that names the hook; the signal's reason */
  async follow(inside: () => Promise<void>): Promise<void> {
    const { runId, stage, uses, attempt, options, log } = this.#stage;
    using _served = this.#process.host.serve({ id: this.#callId, log });
    const call = this.#process.client.aroundStage();
    const about = { callId: this.#callId, runId, stageName: stage, uses, attempt, options: plainJson(options) };
    call.say({ $case: 'stage', value: about });
    let failed: { readonly error: unknown } | undefined;
    let isCompleted = false;
    try {
      for (;;) {
        const next = await this.#next(call.messages);
        if (next.done === true) break;
        const { response } = next.value;
        if (isCompleted) throw brokeContract('sent something after it had completed the hook');
        if (response === undefined) throw brokeContract('sent a message that says nothing');
        if (response.$case === 'failed') throw toFailure(response.value);
        isCompleted = response.$case === 'completed';
        if (isCompleted) continue;
        try {
          await inside();
          call.say({ $case: 'insideEnded', value: {} });
        } catch (error) {
          failed ??= { error };
          const code = isUserError(error) ? error.code : '';
          const message = error instanceof Error ? error.message : String(error);
          call.say({ $case: 'insideEnded', value: { failure: { code, message } } });
        }
      }
      if (!isCompleted) throw brokeContract('ended the hook without saying whether it completed or failed');
    } catch (error) {
      this.#stage.signal.throwIfAborted();
      throw failed?.error ?? namedFailure(this.#called, error);
    } finally {
      void call.messages.return(undefined).catch(() => {});
    }
    if (failed !== undefined) throw failed.error;
  }

  /** What the hook says next. Only while it is waited for does its time run. */
  async #next(messages: ReturnType<PluginProcess['client']['aroundStage']>['messages']) {
    const { signal } = this.#stage;
    using _stopping = stopWith(this.#process, { callId: this.#callId, signal, plugin: this.#plugin });
    return await this.#process.guard(messages.next());
  }
}

/** A process for the events of one run, which is started for the first of them. */
function eventHook(
  start: (context: Pick<PrepareContext, 'log' | 'signal'>) => Promise<PluginProcess>,
  called: string,
  log: Log,
): Sink {
  const callId = randomUUID();
  let opening: Promise<{ readonly process: PluginProcess; readonly batches: EventBatches }> | undefined;
  const open = async (runId: string) => {
    // Not the run's signal: the hook sees the end of a run that was stopped, too.
    const process = await start({ log, signal: new AbortController().signal });
    try {
      await process.answer(process.client.openEventHook(callId, runId));
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
    return {
      process,
      batches: new EventBatches((events) => process.answer(process.client.deliverEvents(callId, events))),
    };
  };
  return {
    async onEvent(event) {
      try {
        opening ??= open(event.runId);
        await (await opening).batches.add(event);
      } catch (error) {
        throw namedFailure(called, error);
      }
    },
    async beforeCompleted() {
      const opened = await opening?.catch(() => undefined);
      try {
        await opened?.batches.delivered();
      } catch (error) {
        throw namedFailure(called, error);
      }
      // After the run's last event nobody can say anything any more.
      await opened?.process.catchUpWithOutput();
      return {};
    },
    async close() {
      const opened = await opening?.catch(() => undefined);
      if (opened === undefined) return;
      await using process = opened.process;
      const { batches } = opened;
      try {
        await batches.delivered();
        if (!batches.hasFailed) await process.answer(process.client.closeSink(callId));
      } catch (error) {
        throw namedFailure(called, error);
      }
    },
  };
}
