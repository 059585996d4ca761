import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { ControlClient } from '../../core/control/control-client.js';
import { WatchMode, WatchRunRequest } from '../../core/generated/simmer/control/v1/control.js';
import { root } from '../python/check-python.js';
import { trainerPython } from '../python/trainer-script.js';
import { type Bench, median } from './bench.js';

const simmer = join(root, 'dist/core/cli/main.js');
const script = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const pass = (bytes: Buffer) => bytes;
const stepMark = Buffer.from('"type":"step.logged"');

/** Python senders: the trainer's own server, and one that does nothing else. */
const pythonSenders = { python: 'events_trainer.py', 'bare-python': 'events_sender.py' } as const;
/** Large ones are what a core that was away catches up on; while it is there, a trainer sends step by step. */
const usualBatchSizes = '512,16,1';
/** A sender of small ones sends fewer events: each batch costs as much as many of them. */
const mostBatches = 20_000;

const recipe = (sender: string) => `name: ${sender}
seed: 7
plugins: [./bench.mjs]
trainers: { sender: { uses: bench/${sender} } }
stages:
  base: { uses: bench/model }
  pool: { uses: curation/generate-problems, with: { count: 20 } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.pool.dataset }}" } }
  tuned:
    uses: sft/train
    with:
      trainer: sender
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.formatted.dataset }}"
`;

/** One way from the sender to a watcher, measured. */
interface Measured {
  readonly eventsPerSecond: number;
  readonly peakMemoryMegabytes: number;
}

/** Events a second from the Python trainer, and from the bare Python sender right before or after it. */
interface PythonPair {
  readonly trainer: number;
  readonly bare: number;
}

/** What a Node process sends: so many steps, in batches of a size. */
interface Load {
  readonly sender: string;
  readonly steps: number;
  readonly batchSize: number;
}

/**
 * Telemetry from a trainer process through core and log to a watcher, against a relay that has grpc-js and a log and
 * nothing else; and the same way from the Python trainer, whose training is nothing but its telemetry, against a Python
 * sender without a journal. Arguments: events (100,000), batch sizes of the Node sender (512,16,1; the goal is for the
 * first), rounds (3; two of the pair from Python in each, whose ratio is the median over the pairs).
 */
export const bench: Bench = async ([events = '100000', batchSizes = usualBatchSizes, rounds = '3']) => {
  const folder = await mkdtemp(join(tmpdir(), 'simmer-events-'));
  const count = Number(events);
  const loads = batchSizes.split(',').map((size): Load => {
    const batchSize = Number(size);
    return { sender: `node-${size}`, steps: Math.min(count, mostBatches * batchSize), batchSize };
  });
  const ours = loads.map((): Measured[] => []);
  const relayed = loads.map((): Measured[] => []);
  const pythonPairs: PythonPair[] = [];
  const many: Measured[] = [];
  try {
    const server = await serve(folder, count, loads);
    for (let round = 1; round <= Number(rounds); round++) {
      for (const [at, load] of loads.entries()) {
        ours[at]?.push(await throughCore(server, load.sender, round, load.steps, 1));
        relayed[at]?.push(await throughRelay(folder, load));
      }
      for (const pair of [2 * round - 1, 2 * round]) pythonPairs.push(await pythonPair(server, pair, count));
    }
    const [{ sender, steps }] = loads as [Load];
    many.push(await throughCore(server, sender, Number(rounds) + 1, steps, 20));
    server.child.kill('SIGTERM');
    await new Promise((resolve) => server.child.once('exit', resolve));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const rate = (measured: readonly Measured[]) => Math.round(median(measured.map((each) => each.eventsPerSecond)));
  const peak = (measured: readonly Measured[]) => Math.max(...measured.map((each) => each.peakMemoryMegabytes));
  const ratio = (of: number, to: number) => Math.round((of / to) * 1000) / 1000;
  const byBatchSize = loads.map(({ batchSize, steps }, at) => {
    const [eventsPerSecond, relayEventsPerSecond] = [rate(ours[at] ?? []), rate(relayed[at] ?? [])];
    console.log(
      `${eventsPerSecond} events/s through core and log, ${relayEventsPerSecond} through a bare relay, in batches of ${batchSize}`,
    );
    return { batchSize, events: steps, eventsPerSecond, relayEventsPerSecond };
  });
  const relayRatios = byBatchSize.map(({ batchSize, eventsPerSecond, relayEventsPerSecond }, at) => {
    const name = at === 0 ? 'vs-bare-relay' : `vs-bare-relay-in-batches-of-${batchSize}`;
    return [name, ratio(eventsPerSecond, relayEventsPerSecond)] as const;
  });
  const trainer = Math.round(median(pythonPairs.map((pair) => pair.trainer)));
  const bare = Math.round(median(pythonPairs.map((pair) => pair.bare)));
  const pairRatios = pythonPairs.map((pair) => ratio(pair.trainer, pair.bare)).toSorted((a, b) => a - b);
  console.log(
    `${rate(many)} events/s to each of 20 watchers; ${peak(ours.flat())} MB with one watcher, ${peak(many)} MB with 20`,
  );
  console.log(`${trainer} events/s from the Python trainer, ${bare} from a bare Python sender, in batches of 256`);
  return {
    ratios: { ...Object.fromEntries(relayRatios), 'vs-bare-python': ratio(median(pairRatios), 1) },
    goals: { 'vs-bare-relay': 0.6, 'vs-bare-python': 0.9 },
    byBatchSize,
    pythonEventsPerSecond: trainer,
    barePythonEventsPerSecond: bare,
    pythonPairRatios: pairRatios,
    eventsPerSecondWith20Watchers: rate(many),
    peakMemoryMegabytes: peak(ours.flat()),
    peakMemoryMegabytesWith20Watchers: peak(many),
  };
};

interface Serving {
  readonly child: ChildProcess;
  readonly address: string;
}

async function serve(folder: string, count: number, loads: readonly Load[]): Promise<Serving> {
  const recipes = join(folder, 'recipes');
  await mkdir(recipes);
  const senders = await commandsOf(count, loads);
  for (const sender of Object.keys(senders)) await writeFile(join(recipes, `${sender}.yaml`), recipe(sender));
  await writeFile(join(recipes, 'bench.mjs'), pluginText(senders));
  const args = [simmer, 'serve', '--json', '--home', join(folder, 'home'), '--recipes', recipes];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await firstOutput(child);
  return { child, address: (JSON.parse(line) as { readonly address: string }).address };
}

/** From the first step that arrives to the last, at the slowest watcher. */
async function throughCore(
  server: Serving,
  sender: string,
  round: number,
  count: number,
  watchers: number,
): Promise<Measured> {
  using control = await ControlClient.open({ address: server.address });
  await forgetPeakMemory(server.child);
  const source = { $case: 'name', value: sender } as const;
  const request = { source, fileName: '', params: {}, overrides: { seed: String(round) } };
  const { run } = await control.createRun({ requestId: randomUUID(), recipe: request });
  const encode = (value: WatchRunRequest) => Buffer.from(WatchRunRequest.encode(value).finish());
  const mode = WatchMode.WATCH_MODE_COMPLETE;
  const rates = await Promise.all(
    Array.from({ length: watchers }, async () => {
      const path = '/simmer.control.v1.ControlService/WatchRun';
      const value = { runId: run!.runId, fromSequence: 1n, mode };
      return receive(server.address, path, encode, value, count, stepsIn);
    }),
  );
  return { eventsPerSecond: Math.min(...rates), peakMemoryMegabytes: await peakMemory(server.child) };
}

/** What slows the machine slows both; the first is one and the other by turns. */
async function pythonPair(server: Serving, pair: number, count: number): Promise<PythonPair> {
  const rate = async (sender: keyof typeof pythonSenders) =>
    (await throughCore(server, sender, pair, count, 1)).eventsPerSecond;
  if (pair % 2 === 1) return { trainer: await rate('python'), bare: await rate('bare-python') };
  return { bare: await rate('bare-python'), trainer: await rate('python') };
}

async function throughRelay(folder: string, { steps: count, batchSize }: Load): Promise<Measured> {
  const [senderSocket, relaySocket] = [join(folder, 's.sock'), join(folder, 'r.sock')];
  await Promise.all([senderSocket, relaySocket].map((socket) => rm(socket, { force: true })));
  const env = { ...process.env, SIMMER_TRAINER_ADDRESS: `unix:${senderSocket}` };
  const sender = spawn(process.execPath, [script('events-sender'), `${count},${batchSize}`], { env });
  await firstOutput(sender);
  const log = join(folder, 'relay.log');
  const relay = spawn(process.execPath, [script('events-relay'), `unix:${senderSocket}`, `unix:${relaySocket}`, log]);
  await firstOutput(relay);
  // The last batch is the end of the training and no step.
  let left = count;
  const stepsOf = () => {
    const steps = Math.min(left, batchSize);
    left -= steps;
    return steps;
  };
  const rate = await receive(`unix:${relaySocket}`, '/bench.Relay/Watch', pass, Buffer.alloc(0), count, stepsOf);
  const peakMemoryMegabytes = await peakMemory(relay);
  for (const child of [sender, relay]) child.kill('SIGKILL');
  return { eventsPerSecond: rate, peakMemoryMegabytes };
}

async function receive<Request>(
  address: string,
  path: string,
  encode: (request: Request) => Buffer,
  request: Request,
  count: number,
  stepsIn: (message: Buffer) => number,
): Promise<number> {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': 64 * 2 ** 20,
    'grpc.use_local_subchannel_pool': 1,
  });
  const call = client.makeServerStreamRequest(path, encode, pass, request, new Metadata());
  let steps = 0;
  let first = 0;
  let startedAt = 0;
  let endedAt = 0;
  for await (const message of call as AsyncIterable<Buffer>) {
    const found = stepsIn(message);
    if (found === 0) continue;
    steps += found;
    endedAt = performance.now();
    if (startedAt === 0) [startedAt, first] = [endedAt, found];
  }
  client.close();
  if (steps !== count) throw new Error(`${steps} steps came, not ${count}`);
  return ((steps - first) / (endedAt - startedAt)) * 1000;
}

function stepsIn(message: Buffer): number {
  let count = 0;
  for (let at = message.indexOf(stepMark); at !== -1; at = message.indexOf(stepMark, at + 100)) count += 1;
  return count;
}

function firstOutput(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (data: Buffer) => resolve(data.toString()));
    child.once('exit', (code) => reject(new Error(`A process of the bench ended with ${code}.`)));
  });
}

async function peakMemory({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round((Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024) / 1e6);
}

/** The server serves all rounds: each has a peak of its own. */
async function forgetPeakMemory({ pid }: ChildProcess): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}

/** How a sender is started. */
interface Command {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function commandsOf(count: number, loads: readonly Load[]): Promise<Readonly<Record<string, Command>>> {
  const { python, env } = await trainerPython();
  const ofPython = Object.entries(pythonSenders).map(([sender, file]) => {
    return [sender, { argv: [python, join(root, 'test/bench', file), String(count)], env }] as const;
  });
  const ofNode = loads.map(({ sender, steps, batchSize }) => {
    return [sender, { argv: [process.execPath, script('events-sender'), `${steps},${batchSize}`], env: {} }] as const;
  });
  return Object.fromEntries([...ofNode, ...ofPython]);
}

/** The trainers of the bench, and a model without weights for them. */
function pluginText(commands: Readonly<Record<string, Command>>): string {
  const simmerkit = pathToFileURL(join(root, 'dist/core/index.js')).href;
  return `
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, defineTrainer, z } from ${JSON.stringify(simmerkit)};
const sender = (command) => defineTrainer({
  description: 'Sends steps.',
  options: z.strictObject({}),
  relevantVersions: async () => ({}),
  prepare: async () => command,
});
const commands = ${JSON.stringify(commands)};
export default definePlugin({
  name: 'bench', version: '1.0.0', apiVersion,
  trainers: Object.fromEntries(Object.entries(commands).map(([name, command]) => [name, sender(command)])),
  stages: {
    model: defineStage({
      description: 'A model folder without weights.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { model: { type: 'model', description: 'The model.' } },
      async run({ artifacts }) {
        const folder = await artifacts.temporaryFolder();
        await writeFile(join(folder, 'config.json'), '{"model_type":"fake"}');
        await writeFile(join(folder, 'model.safetensors'), Buffer.from('\\u0002\\0\\0\\0\\0\\0\\0\\0{}'));
        return { model: await artifacts.commitModel(folder) };
      },
    }),
  },
});
`;
}
