import { randomUUID } from 'node:crypto';
import type { TrainerDescription } from '../../generated/simmer/plugin/v1/trainer.js';
import { present } from '../../present.js';
import type { PrepareContext, TrainerCommand, TrainerDefinition } from '../definitions.js';
import { namedFailure } from './failure.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import type { KeptProcess } from './kept-process.js';
import { toResources } from './planning-wire.js';
import { PluginProcess } from './plugin-process.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';
import { stopWith } from './stop-with.js';
import { toCalibration, toTrainerCommand } from './trainer-wire.js';

/**
 * A kind of trainer of a plugin that is a process: the plugin says what starts one, and has no part in its life.
 * @param uses `plugin/trainer` @param kept is asked while a recipe is planned
 * @throws UserError `invalid_plugin`
 */
export function processTrainer(
  plugin: ProcessPlugin,
  described: TrainerDescription,
  uses: string,
  kept: KeptProcess,
): TrainerDefinition {
  const { name, extensionsSchema, resolvesResources, hasEstimate, calibration, gpusPerProcess } = described;
  return {
    description: described.description,
    options: optionsFromJsonSchema(described.optionsSchema, plugin.called, `the options of the trainer "${name}"`),
    ...(extensionsSchema === undefined
      ? {}
      : { extensions: extensionsFrom(extensionsSchema, plugin.called, `the extensions of the trainer "${name}"`) }),
    resources: resolvesResources
      ? (options) => kept.ask(`The resources of ${uses}`, ({ client }) => client.trainerResources(name, options))
      : () => toResources(described.resources),
    ...present({ gpusPerProcess }),
    relevantVersions: (options, where) =>
      kept.ask(`Reading the versions of ${uses}`, ({ client }) => client.trainerVersions(name, options, where)),
    ...(hasEstimate
      ? {
          estimate: (job, options, place) =>
            kept.ask(`The estimate of ${uses}`, ({ client }) => client.estimateJob(name, options, job, place)),
        }
      : {}),
    ...(calibration.length === 0 ? {} : { calibration: () => calibration.map(toCalibration) }),
    prepare: async (options, context) => {
      try {
        return await prepareInProcess(plugin, name, options, context);
      } catch (error) {
        context.signal.throwIfAborted();
        throw namedFailure(`The preparation of ${uses}`, error);
      }
    },
  };
}

/** As a JSON Schema is read: it refuses keys that it does not name only where it says so. */
function extensionsFrom(schema: Readonly<Record<string, unknown>>, plugin: string, what: string) {
  const declared = optionsFromJsonSchema(schema, plugin, what);
  return schema.additionalProperties === false ? declared : declared.loose();
}

async function prepareInProcess(
  plugin: ProcessPlugin,
  trainer: string,
  options: Readonly<Record<string, unknown>>,
  context: PrepareContext,
): Promise<TrainerCommand> {
  const { log, signal, emit } = context;
  await using process = await PluginProcess.start(await commandOf(plugin, context), { signal, onOutput: log.info });
  const callId = randomUUID();
  using _served = process.host.serve({ id: callId, log, emitProgress: emit });
  using _stopping = stopWith(process, { callId, signal, plugin: plugin.called });
  const prepared = await process.guard(process.client.prepareTrainer(callId, trainer, options, context));
  return { cwd: plugin.folder, ...toTrainerCommand(prepared) };
}
