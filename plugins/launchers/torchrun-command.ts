import { hostname } from 'node:os';
import { basename } from 'node:path';
import { type Resources, type TrainerCommand, UserError } from 'simmerkit';
import type { TorchrunOptions } from './torchrun-options.js';

/** The torchrun agents of one trainer: the first is on this machine, and its rank 0 serves. */
interface TorchrunCommands {
  readonly first: readonly string[];
  /** One for each further node, as words and as a line for a shell, which needs no environment of its own. */
  readonly further: readonly { readonly argv: readonly string[]; readonly line: string }[];
}

/** Where rank 0's node meets the others unless the recipe says otherwise; torch's own default. */
const defaultPort = 29_500;

/**
 * How torchrun starts a trainer's command on each node.
 * @throws UserError `launcher_unsuitable` where the command starts no Python program, `launcher_hosts_mismatch`
 */
export function torchrunCommands(
  command: TrainerCommand,
  resources: Resources,
  options: TorchrunOptions,
): TorchrunCommands {
  const [python, ...program] = command.argv;
  if (python === undefined || !(program[0] === '-m' || program[0]?.endsWith('.py'))) {
    throw new UserError(
      'launcher_unsuitable',
      `launchers/torchrun starts programs in Python, and this trainer's is ${basename(python ?? 'nothing')}.`,
      { kind: 'usage', hint: 'Use launchers/local for it.' },
    );
  }
  const nodes = nodeCount(options, resources);
  if (options.hosts.length > 0 && options.hosts.length !== nodes - 1) {
    throw new UserError(
      'launcher_hosts_mismatch',
      `launchers/torchrun has ${options.hosts.length} hosts for the ${nodes - 1} machines besides this one.`,
      {
        kind: 'usage',
        hint: "Name each further machine in hosts, and count them all in nodes or the trainer's nodes.",
      },
    );
  }
  const agent = (node: number) => [
    python,
    '-m',
    'torch.distributed.run',
    `--nproc-per-node=${processesPerNode(options, resources)}`,
    ...rendezvous(node, nodes, options),
    // Started again by Simmer, from the last checkpoint, and not by the agents, of which each knows only its node.
    '--max-restarts=0',
    ...options.arguments,
    ...program,
  ];
  const environment = Object.entries(command.env).map(([name, value]) => `${name}=${value}`);
  return {
    first: agent(0),
    further: Array.from({ length: nodes - 1 }, (_, index) => {
      const argv = ['env', ...environment, ...agent(index + 1)];
      return { argv, line: argv.map(quoted).join(' ') };
    }),
  };
}

/** Machines that take part. */
export function nodeCount(options: TorchrunOptions, resources: Resources): number {
  return options.nodes ?? resources.nodes ?? 1;
}

/** Ranks on each machine. */
export function processesPerNode(options: TorchrunOptions, resources: Resources): number {
  return options.processesPerNode ?? Math.max(1, Math.floor((resources.gpus ?? 0) / nodeCount(options, resources)));
}

/** What starts the agent of a further node: the template's words, with the host, the node and the command put in. */
export function remoteCommand(template: readonly string[], host: string, node: number, line: string): string[] {
  const values: Readonly<Record<string, string>> = { host, node: String(node), command: line };
  return template.map((word) => word.replace(/\{(host|node|command)\}/g, (_, name: string) => values[name] as string));
}

function rendezvous(node: number, nodes: number, options: TorchrunOptions): readonly string[] {
  if (nodes === 1) return ['--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0'];
  return [
    `--nnodes=${nodes}`,
    // By its number, so that rank 0 is where the core is.
    `--node-rank=${node}`,
    '--rdzv-backend=static',
    `--rdzv-endpoint=${options.rendezvous ?? `${hostname()}:${defaultPort}`}`,
    `--rdzv-id=${options.rendezvousId}`,
    `--rdzv-conf=timeout=${options.joinSeconds}`,
  ];
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
