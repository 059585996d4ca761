import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../free-port.js';
import { root } from '../python/check-python.js';

const template = join(root, 'test/servers/think.jinja');

export const serverNames = ['llama.cpp', 'transformers', 'vllm'] as const;
export type ServerName = (typeof serverNames)[number];

/** A server that this process started. */
interface StartedServer extends AsyncDisposable {
  /** With /v1. */
  readonly url: string;
}

/** What a server is started with. `weights`: a GGUF file for llama.cpp, a Hugging Face folder for the others. */
interface ServerStart {
  readonly python: string;
  readonly weights: string;
  /** What the server shall call the model. */
  readonly model: string;
}

/** Starts a server with one thread on this machine, and waits until it answers. */
export async function startServer(name: ServerName, start: ServerStart): Promise<StartedServer> {
  return name === 'llama.cpp' ? await startLlamaCpp(start) : await startHttp(name, start);
}

async function startLlamaCpp({ python, weights }: ServerStart): Promise<StartedServer> {
  const script = join(root, 'test/servers/llama_cpp.py');
  const child = spawn(python, [script, weights], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => undefined)]);
  if (first === undefined)
    throw new Error('llama.cpp did not start: has --python xllamacpp, and is --weights a GGUF file?');
  const url = `${String(first[0]).replace(/\/$/, '')}/v1`;
  return { url, [Symbol.asyncDispose]: async () => void child.stdin.end() };
}

async function startHttp(name: Exclude<ServerName, 'llama.cpp'>, start: ServerStart): Promise<StartedServer> {
  const port = await freePort();
  const at = ['--host', '127.0.0.1', '--port', String(port)];
  const argv =
    name === 'transformers'
      ? ['-m', 'transformers.cli.transformers', 'serve', start.weights, ...at, '--device', 'cpu']
      : ['-m', 'vllm.entrypoints.cli.main', 'serve', start.weights, '--served-model-name', start.model, ...at, ...vllm];
  const child = spawn(start.python, argv, {
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
    env: {
      ...process.env,
      HF_HUB_OFFLINE: '1',
      // transformers lists what is in it, and fails where there is none.
      HF_HUB_CACHE: await mkdtemp(join(tmpdir(), 'simmer-hub-')),
      OMP_NUM_THREADS: '1',
      VLLM_CPU_KVCACHE_SPACE: '1',
      VLLM_LOGGING_LEVEL: 'WARNING',
      PATH: [join(start.python, '..'), process.env.PATH].join(delimiter),
    },
  });
  const stop = async () => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
  };
  let exited = false;
  child.once('exit', () => {
    exited = true;
  });
  const url = `http://127.0.0.1:${port}/v1`;
  while (!(await answers(`${url}/models`))) {
    if (exited) throw new Error(`${name} ended before it answered.`);
    await pause(500);
  }
  return { url, [Symbol.asyncDispose]: stop };
}

/** Reasoning as the template has it, which takes a tokenizer with <think> and </think> as tokens. */
const vllm = [
  ...['--dtype', 'float32', '--max-model-len', '1024', '--max-num-seqs', '4', '--enforce-eager'],
  ...['--chat-template', template, '--reasoning-parser', 'deepseek_r1'],
  ...['--reasoning-config', '{"reasoning_start_str":"<think>","reasoning_end_str":"</think>"}'],
];

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
