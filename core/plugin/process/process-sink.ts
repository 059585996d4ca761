import { randomUUID } from 'node:crypto';
import type { SinkDescription } from '../../generated/simmer/plugin/v1/plugin.js';
import type { PrepareContext, SinkDefinition } from '../definitions.js';
import { EventBatches } from './event-batches.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import { type ProcessPlugin, startProcess } from './process-plugin.js';

/** A sink of a plugin that is a process. @throws UserError `invalid_plugin` */
export function processSink(
  plugin: ProcessPlugin,
  described: SinkDescription,
  machine: Pick<PrepareContext, 'cacheFolder' | 'python'>,
): SinkDefinition {
  return {
    description: described.description,
    options: optionsFromJsonSchema(
      described.optionsSchema,
      plugin.called,
      `the options of the sink "${described.name}"`,
      plugin.secrets,
    ),
    async open(options, context) {
      // Not the run's signal: a sink sees the end of a run that was stopped, too.
      const { signal } = new AbortController();
      const { log, runId, runFolder, recipeFolder } = context;
      const process = await startProcess(plugin, { ...machine, log, signal });
      const callId = randomUUID();
      const served = process.host.serve({
        id: callId,
        log,
        openArtifact: (uri) => context.openArtifact(uri),
        eventsOf: (run, stageKeys) => context.eventsOf(run, stageKeys),
      });
      try {
        const sink = described.name;
        await process.answer(process.client.openSink({ callId, sink, options, runId, runFolder, recipeFolder }));
      } catch (error) {
        await process[Symbol.asyncDispose]();
        throw error;
      }
      const batches = new EventBatches((events) => process.answer(process.client.deliverEvents(callId, events)));
      return {
        onEvent: (event) => batches.add(event),
        async beforeCompleted() {
          await batches.delivered();
          const reportPath = await process.guard(process.client.completeSink(callId));
          // After the run's last event nobody can say anything any more.
          await process.catchUpWithOutput();
          return reportPath === undefined ? {} : { reportPath };
        },
        async close() {
          try {
            await batches.delivered();
            if (!batches.hasFailed) await process.answer(process.client.closeSink(callId));
          } finally {
            served[Symbol.dispose]();
            await process[Symbol.asyncDispose]();
          }
        },
      };
    },
  };
}
