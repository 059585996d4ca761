import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { remoteCommand, torchrunCommands } from './torchrun-command.js';
import { torchrunOptions } from './torchrun-options.js';

const trainer = { argv: ['/env/bin/python', '-m', 'simmer_trainer'], env: { PYTHONPATH: '/my code' } };
const commands = (options: object, resources = {}) =>
  torchrunCommands(trainer, resources, torchrunOptions.parse(options));

describe('torchrun', () => {
  it('starts the ranks of one machine at a free port, and none anew', () => {
    expect(commands({ processesPerNode: 2 })).toEqual({
      first: [
        '/env/bin/python',
        '-m',
        'torch.distributed.run',
        '--nproc-per-node=2',
        '--rdzv-backend=c10d',
        '--rdzv-endpoint=localhost:0',
        '--max-restarts=0',
        '-m',
        'simmer_trainer',
      ],
      further: [],
    });
  });

  it('takes the number of machines and of ranks from what the trainer asks for', () => {
    const { first, further } = commands({}, { nodes: 2, gpus: 16 });
    expect(first).toEqual(
      expect.arrayContaining(['--nproc-per-node=8', '--nnodes=2', '--node-rank=0', '--rdzv-backend=static']),
    );
    expect(first).toContain(`--rdzv-endpoint=${hostname()}:29500`);
    expect(further).toHaveLength(1);
  });

  it('tells what to start on another machine, in one line for a shell', () => {
    const { further } = commands({ nodes: 2, rendezvous: 'a:7', rendezvousId: 'mine', joinSeconds: 60 });
    expect(further[0]!.line).toBe(
      "env 'PYTHONPATH=/my code' /env/bin/python -m torch.distributed.run --nproc-per-node=1 --nnodes=2 --node-rank=1 " +
        '--rdzv-backend=static --rdzv-endpoint=a:7 --rdzv-id=mine --rdzv-conf=timeout=60 --max-restarts=0 ' +
        '-m simmer_trainer',
    );
    const template = torchrunOptions.parse({}).nodeCommand;
    expect(remoteCommand(template, 'b', 1, 'env X=1 run')).toEqual(['ssh', '-o', 'BatchMode=yes', 'b', 'env X=1 run']);
    expect(remoteCommand(['srun', '-w{host}', 'sh', '-c', 'echo {node}; {command}'], 'b', 1, '$&')).toEqual([
      'srun',
      '-wb',
      'sh',
      '-c',
      'echo 1; $&',
    ]);
  });

  it('hands further arguments to torchrun, before the program', () => {
    expect(commands({ arguments: ['--local-addr=10.0.0.1'] }).first.slice(-3)).toEqual([
      '--local-addr=10.0.0.1',
      '-m',
      'simmer_trainer',
    ]);
  });

  it('refuses a program that is not in Python', () => {
    const node = { argv: ['/usr/bin/node', 'trainer.js'], env: {} };
    expect(() => torchrunCommands(node, {}, torchrunOptions.parse({}))).toThrow(
      expect.objectContaining({ code: 'launcher_unsuitable', message: expect.stringContaining('node') }),
    );
  });

  it('refuses hosts that are more or fewer than the further machines', () => {
    const problems = torchrunOptions.safeParse({ nodes: 3, hosts: ['b'] });
    expect(problems.error?.issues).toMatchObject([{ path: ['hosts'], message: expect.stringContaining('one less') }]);
    expect(() => commands({ hosts: ['b'] }, { nodes: 3 })).toThrow(
      expect.objectContaining({ code: 'launcher_hosts_mismatch' }),
    );
  });

  it('refuses a rendezvous without a port, and a node command without the command', () => {
    const { error } = torchrunOptions.safeParse({ rendezvous: 'node-a', nodeCommand: ['ssh', '{host}'] });
    expect(error?.issues.map(({ path }) => path[0])).toEqual(['rendezvous', 'nodeCommand']);
  });
});
