import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { random } from '../../core/random.js';
import type { ClientReport } from './watch-clients.js';

const help = `npm run torture -- watch [--events N] [--clients N] [--rate N] [--restarts N] [--seed N] [--short]

A run of N events (1,000,000), written as fast as --rate says (6,000 a second), and --clients (100) that watch it through a
server, half of them COMPLETE and half LIVE. They stall and disconnect at random, and the server is killed and started
again --restarts (3) times. Ends in one line of JSON: lost, duplicated and reordered must be 0.`;

const clientProcesses = 2;
const simmer = fileURLToPath(new URL('../../core/cli/main.js', import.meta.url));
const modulePath = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

export async function tortureWatch(args: readonly string[]): Promise<number> {
  const number = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const numbers = { events: number, clients: number, rate: number, restarts: number, seed: number };
  const { values } = parseArgs({ args: [...args], options: { ...numbers, short: flag, help: flag } });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const isShort = values.short;
  const option = (name: keyof typeof numbers, otherwise: number) => Number(values[name] ?? otherwise);
  const events = option('events', isShort ? 20_000 : 1_000_000);
  const clients = option('clients', isShort ? 20 : 100);
  const rate = option('rate', isShort ? 4000 : 6000);
  const restarts = option('restarts', isShort ? 2 : 3);
  const seed = option('seed', Date.now() % 1_000_000);
  console.log(`${events} events at ${rate} a second, ${clients} clients, ${restarts} restarts, seed ${seed}`);

  const folder = await mkdtemp(join(tmpdir(), 'simmer-watch-'));
  const home = join(folder, 'home');
  try {
    let server = await startServer(home);
    let peakBytes = 0;
    const task = { home, address: server.address, runId: '', events, rate, clients, seed: String(seed) };
    const writer = fork(modulePath('watch-writer'), [JSON.stringify(task)]);
    const runId = (await message<{ runId: string }>(writer)).runId;
    const written = message<{ seconds: number }>(writer);
    const watching = Array.from({ length: clientProcesses }, (_, index) => {
      const share = Math.ceil((clients - index) / clientProcesses);
      const part = { ...task, runId, clients: share, seed: `${seed}-${index}` };
      return message<ClientReport>(fork(modulePath('watch-clients'), [JSON.stringify(part)]));
    });
    const chance = random(seed, 'restarts');
    const during = (events / rate) * 1000;
    for (let count = 0; count < restarts; count++) {
      await wait((during / (restarts + 1)) * (0.5 + chance.next()));
      peakBytes = Math.max(peakBytes, await peakMemory(server.child));
      server.child.kill('SIGKILL');
      server = await startServer(home);
    }
    const reports = await Promise.all(watching);
    const { seconds } = await written;
    peakBytes = Math.max(peakBytes, await peakMemory(server.child));
    server.child.kill('SIGTERM');
    const sum = (figure: 'lost' | 'duplicated' | 'reordered' | 'received' | 'inGaps' | 'disconnects' | 'stalls') =>
      reports.reduce((all, report) => all + report[figure], 0);
    const delays = Float64Array.from(reports.flatMap((report) => report.delays)).sort();
    const quantile = (share: number) => Math.round(delays[Math.floor((delays.length - 1) * share)] ?? Number.NaN);
    const result = {
      events,
      clients,
      lost: sum('lost'),
      duplicated: sum('duplicated'),
      reordered: sum('reordered'),
      peakMemoryMegabytes: Math.round(peakBytes / 1e6),
      p50DelayMilliseconds: quantile(0.5),
      p99DelayMilliseconds: quantile(0.99),
      received: sum('received'),
      inGaps: sum('inGaps'),
      disconnects: sum('disconnects'),
      stalls: sum('stalls'),
      restarts,
      errors: reports.map((report) => report.errors),
      writerSeconds: Math.round(seconds * 10) / 10,
    };
    console.log(JSON.stringify(result));
    return result.lost + result.duplicated + result.reordered === 0 && result.received > 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function startServer(home: string): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const child = spawn(process.execPath, [simmer, 'serve', '--json', '--home', home], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString()));
    child.once('exit', (code) => reject(new Error(`The server ended with ${code}.`)));
  });
  return { child, address: (JSON.parse(line) as { readonly address: string }).address };
}

/** The next message of a process. @throws where it ends without one */
function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`A process of the torture ended with ${code}.`)));
  });
}

async function peakMemory({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
}
