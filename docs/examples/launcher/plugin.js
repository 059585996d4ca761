import {
  attachToProcess,
  defineLauncher,
  definePlugin,
  gpuVariables,
  placement,
  spawnDetached,
  terminateGroup,
  z,
} from 'simmerkit';

const nice = defineLauncher({
  description: 'Starts the trainer on this machine, behind all other work.',
  options: z.strictObject({
    niceness: placement(z.int().min(0).max(19).default(10).describe('As `nice` takes it: 19 is the last in line.')),
  }),
  processes: () => 1,
  async launch({ command, devices, stdoutFile, stderrFile }, { niceness }) {
    const { pid, exited } = await spawnDetached({
      argv: ['nice', '-n', String(niceness), ...command.argv],
      env: { ...process.env, ...gpuVariables(devices), ...command.env },
      cwd: command.cwd,
      stdoutFile,
      stderrFile,
    });
    return started(pid, exited);
  },
  // A core that takes the run up again finds the trainer that the one before started.
  async attach(pid) {
    const attached = await attachToProcess(pid);
    return attached && started(pid, attached.exited);
  },
});

const started = (pid, exited) => ({ pid, exited, terminate: (grace) => terminateGroup(pid, exited, grace) });

export default definePlugin({
  name: 'nice',
  version: '1.0.0',
  apiVersion: 1,
  launchers: { nice },
});
