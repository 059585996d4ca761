import { placement, runsCode, z } from 'simmerkit';

const hostAndPort = /^(\[[0-9A-Fa-f:]+\]|[^\s:[\]]+):\d+$/;

export const torchrunOptions = z
  .strictObject({
    processesPerNode: placement(
      z
        .int()
        .min(1)
        .optional()
        .describe("Ranks on each machine, one a GPU. Absent: the trainer's `gpus` divided by its `nodes`."),
    ),
    nodes: placement(z.int().min(1).optional().describe("Machines. Absent: the trainer's `nodes`, or 1.")),
    rendezvous: placement(
      runsCode(z.string().regex(hostAndPort, 'it is HOST:PORT'))
        .optional()
        .describe(
          "HOST:PORT of this machine, where the others meet it. Absent: its own name and port 29500. For one node, torchrun's own.",
        ),
    ),
    rendezvousId: placement(
      z
        .string()
        .regex(/^[\w.-]+$/, 'it is letters, digits, ".", "_" and "-"')
        .default('simmer')
        .describe('Tells jobs that meet at the same port apart.'),
    ),
    hosts: placement(
      runsCode(z.array(z.string().min(1)))
        .default([])
        .describe(
          'The further machines, as nodeCommand names them. Empty: you start their agents yourself; the command is told.',
        ),
    ),
    nodeCommand: placement(
      runsCode(z.array(z.string()))
        .default(['ssh', '-o', 'BatchMode=yes', '{host}', '{command}'])
        .describe('Starts the agent of a further machine: words with {host}, {node} and {command} in them.'),
    ),
    joinSeconds: placement(
      z.int().min(1).default(900).describe('How long the further machines may take to come, where there are any.'),
    ),
    arguments: placement(
      runsCode(z.array(z.string())).default([]).describe('Further arguments of torchrun, e.g. --local-addr=10.0.0.1.'),
    ),
  })
  .refine(({ hosts, nodes }) => hosts.length === 0 || nodes === undefined || hosts.length === nodes - 1, {
    path: ['hosts'],
    message: 'it names each machine but this one: one less than nodes.',
  })
  .refine(({ nodeCommand }) => nodeCommand.some((word) => word.includes('{command}')), {
    path: ['nodeCommand'],
    message: 'one of its words has {command} in it.',
  });

export type TorchrunOptions = z.output<typeof torchrunOptions>;
