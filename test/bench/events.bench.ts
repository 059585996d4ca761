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

/** Who sends: a Node process, the trainer's own server in Python, and a Python server that does nothing else. */
const senders = ['node', 'python', 'bare-python'] as const;
type Sender = (typeof senders)[number];

const recipe = (sender: Sender) => `name: ${sender}
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

/**
 * Telemetry from a trainer process through core and log to a watcher, against a relay that has grpc-js and a log and
 * nothing else; and the same way from the Python trainer, whose training is nothing but its telemetry, against a Python
 * sender without a journal. Arguments: events (100,000), batch size of the Node sender (512), rounds (3).
 */
export const bench: Bench = async ([events = '100000', batchSize = '512', rounds = '3']) => {
  const folder = await mkdtemp(join(tmpdir(), 'simmer-events-'));
  const count = Number(events);
  const ours: Measured[] = [];
  const relayed: Measured[] = [];
  const python: Measured[] = [];
  const barePython: Measured[] = [];
  const many: Measured[] = [];
  try {
    const server = await serve(folder, count, Number(batchSize));
    for (let round = 1; round <= Number(rounds); round++) {
      ours.push(await throughCore(server, 'node', round, count, 1));
      relayed.push(await throughRelay(folder, count, Number(batchSize)));
      python.push(await throughCore(server, 'python', round, count, 1));
      barePython.push(await throughCore(server, 'bare-python', round, count, 1));
    }
    many.push(await throughCore(server, 'node', Number(rounds) + 1, count, 20));
    server.child.kill('SIGTERM');
    await new Promise((resolve) => server.child.once('exit', resolve));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const rate = (measured: readonly Measured[]) => Math.round(median(measured.map((each) => each.eventsPerSecond)));
  const peak = (measured: readonly Measured[]) => Math.max(...measured.map((each) => each.peakMemoryMegabytes));
  const [core, relay, trainer, bare] = [rate(ours), rate(relayed), rate(python), rate(barePython)];
  console.log(`${core} events/s through core and log, ${relay} through a bare relay, in batches of ${batchSize}`);
  console.log(
    `${rate(many)} events/s to each of 20 watchers; ${peak(ours)} MB with one watcher, ${peak(many)} MB with 20`,
  );
  console.log(`${trainer} events/s from the Python trainer, ${bare} from a bare Python sender, in batches of 256`);
  const ratio = (of: number, to: number) => Math.round((of / to) * 1000) / 1000;
  return {
    ratios: { 'vs-bare-relay': ratio(core, relay), 'vs-bare-python': ratio(trainer, bare) },
    goals: { 'vs-bare-relay': 0.6, 'vs-bare-python': 0.9 },
    events: count,
    batchSize: Number(batchSize),
    eventsPerSecond: core,
    relayEventsPerSecond: relay,
    pythonEventsPerSecond: trainer,
    barePythonEventsPerSecond: bare,
    eventsPerSecondWith20Watchers: rate(many),
    peakMemoryMegabytes: peak(ours),
    peakMemoryMegabytesWith20Watchers: peak(many),
  };
};

interface Serving {
  readonly child: ChildProcess;
  readonly address: string;
}

async function serve(folder: string, count: number, batchSize: number): Promise<Serving> {
  const recipes = join(folder, 'recipes');
  await mkdir(recipes);
  for (const sender of senders) await writeFile(join(recipes, `${sender}.yaml`), recipe(sender));
  await writeFile(join(recipes, 'bench.mjs'), await pluginText(count, batchSize));
  const args = [simmer, 'serve', '--json', '--home', join(folder, 'home'), '--recipes', recipes];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await firstOutput(child);
  return { child, address: (JSON.parse(line) as { readonly address: string }).address };
}

/** From the first step that arrives to the last, at the slowest watcher. */
async function throughCore(
  server: Serving,
  sender: Sender,
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

async function throughRelay(folder: string, count: number, batchSize: number): Promise<Measured> {
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

/** The trainers of the bench, and a model without weights for them. */
async function pluginText(count: number, batchSize: number): Promise<string> {
  const simmerkit = pathToFileURL(join(root, 'dist/core/index.js')).href;
  const { python, env } = await trainerPython();
  const pythonSender = (name: string) => ({ argv: [python, join(root, 'test/bench', name), String(count)], env });
  const commands: Record<Sender, { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> }> =
    {
      node: { argv: [process.execPath, script('events-sender'), `${count},${batchSize}`], env: {} },
      python: pythonSender('events_trainer.py'),
      'bare-python': pythonSender('events_sender.py'),
    };
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
