import { UserError } from '../../errors.js';
import type { DescribeResponse } from '../../generated/simmer/plugin/v1/plugin.js';
import { apiVersion, type PluginDefinition, type PrepareContext } from '../definitions.js';
import { KeptProcess } from './kept-process.js';
import { processGrader } from './process-grader.js';
import { type ProcessHooks, processHooks } from './process-hooks.js';
import type { ProcessKeeper } from './process-keeper.js';
import { processLauncher } from './process-launcher.js';
import type { ProcessPlugin } from './process-plugin.js';
import { processSink } from './process-sink.js';
import { processStage } from './process-stage.js';
import { processTrainer } from './process-trainer.js';

/** A plugin whose contributions start its processes. */
export type LoadedProcess = { readonly definition: PluginDefinition } & Pick<ProcessHooks, 'openEvents'>;

/**
 * Starts a plugin's process, and asks it what it contributes. What comes out is a plugin as any other: who runs its stages
 * does not see that they are elsewhere.
 * @param keeper decides when the process ends
 * @throws UserError `handshake_failed`, `invalid_plugin` and all that can be wrong with a process
 */
export async function loadProcessPlugin(
  plugin: ProcessPlugin,
  context: PrepareContext,
  keeper: ProcessKeeper,
): Promise<LoadedProcess> {
  const kept = new KeptProcess(plugin, context, keeper);
  const described = await kept.use(({ client }) => client.describe(plugin.limits.startSeconds));
  const { name } = described;
  const called = name === plugin.called ? name : `${name} (listed as ${plugin.called})`;
  await kept.callIt(called);
  return definitionOf(described, { ...plugin, called }, context, kept);
}

/** What a plugin says of itself, as a plugin whose contributions start its processes. @throws UserError `invalid_plugin` */
export function definitionOf(
  described: DescribeResponse,
  plugin: ProcessPlugin,
  context: PrepareContext,
  kept: KeptProcess,
): LoadedProcess {
  const { name, version, stages, trainers, launchers, graders, sinks } = described;
  const { hooks, ...events } = processHooks(plugin, described, kept, context);
  const definition = {
    name,
    version,
    apiVersion,
    stages: named(stages, 'stages', plugin, (stage) => processStage(plugin, stage, `${name}/${stage.name}`, kept)),
    trainers: named(trainers, 'trainers', plugin, (trainer) =>
      processTrainer(plugin, trainer, `${name}/${trainer.name}`, kept),
    ),
    launchers: named(launchers, 'launchers', plugin, (launcher) =>
      processLauncher(plugin, launcher, `${name}/${launcher.name}`, kept),
    ),
    graders: named(graders, 'graders', plugin, (grader) =>
      processGrader(plugin, grader, `${name}/${grader.name}`, kept),
    ),
    sinks: named(sinks, 'sinks', plugin, (sink) => processSink(plugin, sink, context)),
    hooks,
  };
  return { definition, ...events };
}

function named<Described extends { readonly name: string }, Definition>(
  contributions: readonly Described[],
  kind: string,
  plugin: ProcessPlugin,
  define: (described: Described) => Definition,
): Readonly<Record<string, Definition>> {
  const names = contributions.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new UserError('invalid_plugin', `Plugin ${plugin.called} has two ${kind} of the name "${twice}".`, {
      hint: 'This is a mistake in the plugin: tell its author.',
    });
  }
  return Object.fromEntries(contributions.map((described) => [described.name, define(described)]));
}
