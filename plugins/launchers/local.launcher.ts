import { attachToProcess, defineLauncher, gpuVariables, placement, spawnDetached, terminateGroup, z } from 'simmerkit';

/** Starts trainers on this machine, in a session of their own: they outlive the core that started them. */
export const local = defineLauncher({
  description: 'Starts the trainer as a process on this machine.',
  options: z.strictObject({
    transport: placement(
      z
        .enum(['unix', 'tcp'])
        .default('unix')
        .describe(
          'How the trainer is reached: a unix socket that only you may open, or TCP on 127.0.0.1 with a token.',
        ),
    ),
  }),
  transport: (options) => options.transport,
  processes: () => 1,
  async launch({ command, devices, stdoutFile, stderrFile }) {
    const { pid, exited } = await spawnDetached({
      argv: command.argv,
      env: { ...process.env, ...gpuVariables(devices), ...command.env },
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      stdoutFile,
      stderrFile,
    });
    return { pid, exited, terminate: (grace) => terminateGroup(pid, exited, grace) };
  },
  async attach(pid) {
    const attached = await attachToProcess(pid);
    if (attached === undefined) return undefined;
    return { ...attached, terminate: (grace) => terminateGroup(pid, attached.exited, grace) };
  },
});
