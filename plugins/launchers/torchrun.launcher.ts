import { defineLauncher, endsWithin, type LaunchedProcess, spawnDetached, terminateGroup } from 'simmerkit';
import { local } from './local.launcher.js';
import { nodeCount, processesPerNode, remoteCommand, torchrunCommands } from './torchrun-command.js';
import { torchrunOptions } from './torchrun-options.js';

/** How long the first agent may outlive a further one that failed: it notices itself what its ranks notice. */
const noticeMilliseconds = 10_000;
/** How long the way to a further agent may stay open after the first has ended: its ranks end by themselves. */
const partingMilliseconds = 30_000;

/**
 * Starts a trainer as several ranks: a torchrun agent on this machine, whose rank 0 serves, and one on each further
 * machine. The process that is watched is the agent here. All agents end with it, by their ranks, which end with rank 0.
 */
export const torchrun = defineLauncher({
  description: 'Starts the trainer as several processes, one a GPU, on one machine or several, by torchrun.',
  options: torchrunOptions,
  startSeconds: ({ nodes, joinSeconds }) => (nodes === 1 ? 180 : joinSeconds + 180),
  processes: (options, resources) => nodeCount(options, resources) * processesPerNode(options, resources),
  async launch(request, options) {
    const { command, resources, stderrFile, log } = request;
    const { first, further } = torchrunCommands(command, resources, options);
    const launched = await local.launch({ ...request, command: { ...command, argv: first } }, {});
    const nodes = nodeCount(options, resources);
    if (options.hosts.length === 0 && nodes > 1) {
      const lines = further.map(({ line }, index) => `  node ${index + 1}: until ${line}; do sleep 5; done`);
      log.info(`Waiting for ${nodes - 1} more of ${nodes} machines. Start on them:\n${lines.join('\n')}`);
    }
    try {
      for (const [index, host] of options.hosts.entries()) {
        const line = further[index]?.line;
        if (line === undefined) continue;
        const agent = await spawnDetached({
          argv: remoteCommand(options.nodeCommand, host, index + 1, line),
          env: process.env,
          // Only rank 0 has a word to say on stdout.
          stdoutFile: stderrFile,
          stderrFile,
        });
        void endTogether(launched, agent, () => log.warning(`The agent on ${host} has failed.`));
      }
    } catch (error) {
      await launched.terminate(0);
      throw error;
    }
    return launched;
  },
  attach: local.attach,
});

type Agent = Pick<LaunchedProcess, 'pid' | 'exited'>;

async function endTogether(first: Agent, further: Agent, onFailure: () => void): Promise<void> {
  const [ended, exit] = await Promise.race([
    first.exited.then((value) => [first, value] as const),
    further.exited.then((value) => [further, value] as const),
  ]);
  if (ended === first) {
    if (!(await endsWithin(further.exited, partingMilliseconds)))
      await terminateGroup(further.pid, further.exited, 5_000);
  } else if (exit.exitCode !== 0 && !(await endsWithin(first.exited, noticeMilliseconds))) {
    onFailure();
    await terminateGroup(first.pid, first.exited, 5_000);
  }
}
