import { randomUUID } from 'node:crypto';
import type { LauncherDescription } from '../../generated/simmer/plugin/v1/launcher.js';
import { attachToProcess } from '../../process/attach-to-process.js';
import { endsWithin, signalGroup, signalProcess } from '../../process/terminate.js';
import type { LaunchedProcess, LauncherDefinition } from '../definitions.js';
import type { Resources } from '../resources.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import type { KeptProcess } from './kept-process.js';
import { fromResources } from './launcher-wire.js';
import type { PluginProcess } from './plugin-process.js';
import type { ProcessPlugin } from './process-plugin.js';
import { plainJson } from './wire.js';

type Options = Readonly<Record<string, unknown>>;

/** Seconds from a launch until a trainer must serve, where the plugin does not say. */
const standingStartSeconds = 180;

/**
 * A launcher of a plugin that is a process: the plugin starts and ends trainers, each by a call to a process of its own.
 * The trainer lives on without it; its process id is watched here.
 * @param uses `plugin/launcher`
 * @throws UserError `invalid_plugin`
 */
export function processLauncher(
  plugin: ProcessPlugin,
  described: LauncherDescription,
  uses: string,
  kept: KeptProcess,
): LauncherDefinition {
  const { name, hasResolve } = described;
  const ask = <T>(what: string, call: (process: PluginProcess) => Promise<T>, extraSeconds = 0) =>
    kept.ask(`${what} ${uses}`, call, { isPlanning: false, extraSeconds });

  const resolved = (options: Options, resources?: Resources) =>
    ask('Resolving', ({ client }) => client.resolveLaunch(name, options, resources));

  const watched = async (pid: number, options: Options): Promise<LaunchedProcess> => {
    const found = await attachToProcess(pid);
    const exited = found?.exited ?? Promise.resolve({ exitCode: null, signal: null });
    const askToEnd = (grace: number) =>
      ask('Terminating with', ({ client }) => client.terminate(name, options, pid, grace), grace / 1000);
    return {
      pid,
      exited,
      async terminate(graceMilliseconds) {
        if (found === undefined) return;
        // Whatever the plugin makes of it, the trainer has ended afterwards.
        await askToEnd(graceMilliseconds).catch(() => {});
        if (await endsWithin(exited, 1_000)) return;
        if (!signalGroup(pid, 'SIGKILL')) signalProcess(pid, 'SIGKILL');
        await exited;
      },
    };
  };

  return {
    description: described.description,
    options: optionsFromJsonSchema(
      described.optionsSchema,
      plugin.called,
      `the options of the launcher "${name}"`,
      plugin.secrets,
    ),
    ...(hasResolve
      ? {
          transport: async (options) => (await resolved(options)).transport,
          startSeconds: async (options) => (await resolved(options)).startSeconds ?? standingStartSeconds,
          processes: async (options, resources) => (await resolved(options, resources)).processes,
        }
      : {}),
    async launch({ command, resources, devices = [], stdoutFile, stderrFile, log }, options) {
      const { argv, env, cwd } = command;
      const pid = await ask('Launching with', async ({ client, host }) => {
        const callId = randomUUID();
        using _served = host.serve({ id: callId, log });
        return await client.launch({
          ...{ callId, launcher: name, options: plainJson(options), resources: fromResources(resources) },
          command: { argv: [...argv], env: { ...env }, cwd },
          ...{ devices: [...devices], stdoutFile, stderrFile },
        });
      });
      return watched(pid, options);
    },
    async attach(pid, options) {
      const isRunning = await ask('Attaching with', ({ client }) => client.attach(name, options, pid));
      return isRunning ? watched(pid, options) : undefined;
    },
  };
}
