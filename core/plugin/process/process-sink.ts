import { randomUUID } from 'node:crypto';
import type { Event } from '../../events/catalogue.js';
import type { SinkDescription } from '../../generated/simmer/plugin/v1/plugin.js';
import type { PrepareContext, SinkDefinition } from '../definitions.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import { PluginProcess } from './plugin-process.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';

/** Events that may wait for the process; then the sink's own queue fills, which says what it drops. */
const waitingMost = 512;

/** A sink of a plugin that is a process. @throws UserError `invalid_plugin` */
export function processSink(
  plugin: ProcessPlugin,
  described: SinkDescription,
  machine: Pick<PrepareContext, 'cacheFolder' | 'python'>,
): SinkDefinition {
  return {
    description: described.description,
    options: optionsFromJsonSchema(described.optionsSchema, plugin.called, `the sink "${described.name}"`),
    async open(options, context) {
      // Not the run's signal: a sink sees the end of a run that was stopped, too.
      const { signal } = new AbortController();
      const { log, runId, runFolder } = context;
      const recipeFolder = plugin.folder;
      const command = await commandOf(plugin, { ...machine, log, signal, recipeFolder, emit: async () => {} });
      const process = await PluginProcess.start(command, { signal });
      const callId = randomUUID();
      const served = process.host.serve({ id: callId, log, openArtifact: (uri) => context.openArtifact(uri) });
      try {
        await process.guard(process.client.openSink({ callId, sink: described.name, options, runId, runFolder }));
      } catch (error) {
        await process[Symbol.asyncDispose]();
        throw error;
      }
      const batches = new Batches((events) => process.guard(process.client.deliverEvents(callId, events)));
      return {
        onEvent: (event) => batches.add(event),
        async beforeCompleted() {
          await batches.delivered();
          const reportPath = await process.guard(process.client.completeSink(callId));
          return reportPath === undefined ? {} : { reportPath };
        },
        async close() {
          try {
            await batches.delivered();
            await process.guard(process.client.closeSink(callId));
          } finally {
            served[Symbol.dispose]();
            await process[Symbol.asyncDispose]();
          }
        },
      };
    },
  };
}

/** Gives events on in batches: what comes while one is under way goes with the next. */
class Batches {
  readonly #deliver: (events: readonly Event[]) => Promise<void>;
  #waiting: Event[] = [];
  #pump: Promise<void> | undefined;

  constructor(deliver: (events: readonly Event[]) => Promise<void>) {
    this.#deliver = deliver;
  }

  /** Waits only where too many wait already. @throws what an earlier delivery threw */
  async add(event: Event): Promise<void> {
    this.#waiting.push(event);
    this.#pump ??= this.#deliverAll();
    // Whoever comes next, or asks whether all is delivered, is told.
    this.#pump.catch(() => {});
    if (this.#waiting.length >= waitingMost) await this.#pump;
  }

  /** @throws what a delivery threw */
  async delivered(): Promise<void> {
    await this.#pump;
  }

  async #deliverAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#deliver(this.#waiting.splice(0));
    this.#pump = undefined;
  }
}
