import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { silentLog } from '../../../plugin/log.js';
import { fromResources } from '../../../plugin/process/launcher-wire.js';
import { plainJson } from '../../../plugin/process/wire.js';
import { processIdentity } from '../../../process/process-identity.js';
import { signalGroup } from '../../../process/terminate.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import type { PluginBench } from '../plugin-bench.js';

/** Launchers, which have a program sleep. */
export const launcherChecks: readonly PluginCheck[] = [
  {
    name: 'resolve-launch',
    expects: 'ResolveLaunch to answer with a time to start above 0, or none, and likewise with a number of processes',
    needs: 'launchers with a resolve',
    async run(bench) {
      const process = await bench.shared();
      for (const { name, hasResolve } of (await bench.describe()).launchers) {
        // The client itself holds the answer against the contract.
        if (!hasResolve) continue;
        const options = await optionsOf(bench, name);
        for (const resources of [undefined, { gpus: 2, nodes: 1 }]) {
          await process.within(process.client.resolveLaunch(name, options, resources), `an answer of ${name}`);
        }
      }
    },
  },
  {
    name: 'launch',
    expects:
      'what Launch starts to have its variables and folder, to write to its files and to outlive the process of the plugin, Attach of another process to find it, and Terminate to end it',
    needs: 'launchers',
    async run(bench) {
      const unseen: string[] = [];
      for (const { name } of (await bench.describe()).launchers) {
        const options = await optionsOf(bench, name);
        const pid = await launched(bench, name, options);
        try {
          const said = await saidBy(bench);
          // In the queue of a cluster it may stand for hours.
          if (said === undefined) unseen.push(`what ${name} starts wrote nothing yet: its variables were not seen`);
          else demand(said === expectedOf(bench), `${name} to start it with its variables, in its folder`, said);
          demand(
            (await processIdentity(pid)) !== undefined,
            `${name} to start what outlives its process`,
            'it is gone',
          );
          const { client, within } = await session(bench, name);
          demand(await within(client.attach(name, options, pid)), `Attach of ${name} to find it`, 'not running');
          await within(client.terminate(name, options, pid, 1_000));
          demand((await processIdentity(pid)) === undefined, `Terminate of ${name} to end it`, 'it still runs');
          await within(client.terminate(name, options, pid, 0));
        } finally {
          signalGroup(pid, 'SIGKILL');
        }
      }
      return unseen.length === 0 ? undefined : unseen.join('; ');
    },
  },
  {
    name: 'unknown-launcher',
    expects: 'Launch to refuse a launcher that Describe does not name with NOT_FOUND, or UNIMPLEMENTED without any',
    async run(bench) {
      const process = await bench.shared();
      const { launchers } = await bench.describe();
      const asked = launchRequest(bench, 'there-is-no-such-launcher', {}, ['true']);
      const code = (await process.refusal(process.raw.launch, asked))?.code;
      const fits = code === status.NOT_FOUND || (launchers.length === 0 && code === status.UNIMPLEMENTED);
      demand(fits, this.expects, code === undefined ? 'an answer' : status[code]);
    },
  },
];

type Options = Readonly<Record<string, unknown>>;

/** Launches with a process of the plugin that has ended when this resolves. @returns the id of what was started */
async function launched(bench: PluginBench, name: string, options: Options): Promise<number> {
  const process = await bench.fresh();
  await rm(stdoutIn(bench), { force: true });
  const request = launchRequest(bench, name, options, ['sh', '-c', tellingProgram]);
  using _served = process.host.serve({ id: request.callId, log: silentLog });
  const pid = await process.within(process.client.launch(request), `an answer of ${name}`);
  await process.client.shutdown(1);
  await process.ends();
  // What was not set apart from it dies with it, which takes a moment.
  for (let looks = 0; signalGroup(process.pid, 'SIGKILL') && looks < 50; looks++) await sleep(20);
  return pid;
}

/** Says of itself what a trainer depends on. */
const tellingProgram = 'echo "$SIMMER_LEASE_SECONDS $SIMMER_TRAINER_FOLDER $(pwd -P)"; exec sleep 60';

function expectedOf({ options: { folder } }: PluginBench): string {
  return `${leaseSeconds} ${folder} ${realpathSync(folder)}`;
}

/** The first line that what was launched writes; undefined where it has written none when patience ends. */
async function saidBy(bench: PluginBench): Promise<string | undefined> {
  const deadline = performance.now() + bench.options.patience * 1000;
  for (;;) {
    const text = await readFile(stdoutIn(bench), 'utf8').catch(() => '');
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'));
    if (performance.now() > deadline) return undefined;
    await sleep(20);
  }
}

function stdoutIn({ options: { folder } }: PluginBench): string {
  return join(folder, 'launched.out');
}

async function session(bench: PluginBench, name: string) {
  const process = await bench.shared();
  return { client: process.client, within: <T>(work: Promise<T>) => process.within(work, `an answer of ${name}`) };
}

function launchRequest(bench: PluginBench, launcher: string, options: Options, argv: string[]) {
  const { folder } = bench.options;
  return {
    ...{ callId: randomUUID(), launcher, options: plainJson(options), resources: fromResources({ cpus: 1 }) },
    command: { argv, env: trainerVariables(folder), cwd: folder },
    devices: [],
    ...{ stdoutFile: stdoutIn(bench), stderrFile: join(folder, 'launched.err') },
  };
}

const leaseSeconds = '60';

/** As each trainer has them: a launcher for another machine looks at the address. */
function trainerVariables(folder: string) {
  return { SIMMER_TRAINER_ADDRESS: '127.0.0.1:0', SIMMER_TRAINER_FOLDER: folder, SIMMER_LEASE_SECONDS: leaseSeconds };
}

async function optionsOf(bench: PluginBench, launcher: string): Promise<Options> {
  return bench.sampleOptions((await bench.definition()).launchers![launcher]!.options);
}
