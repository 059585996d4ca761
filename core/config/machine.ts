import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { readFolder } from '../files/read-folder.js';

/** What this machine lets this process use. */
export interface MachineResources {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly gpus: number;
}

/** Looks at the machine and at the limits of the container. Starts no process: it must not slow the start-up. */
export function detectMachine(env: NodeJS.ProcessEnv): MachineResources {
  return { cpus: cpus(), memoryBytes: memoryBytes(), gpus: gpus(env) };
}

function cpus(): number {
  const available = availableParallelism();
  // A container's share of time; Node counts only the cores that it may be on.
  const [quota, period] = (readText('/sys/fs/cgroup/cpu.max') ?? 'max').trim().split(' ').map(Number);
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return available;
  return Math.max(1, Math.min(available, Math.ceil(quota / period)));
}

function memoryBytes(): number {
  const total = totalmem();
  // 0, or larger than the machine, where there is no limit.
  const constrained = process.constrainedMemory();
  return constrained > 0 && constrained < total ? constrained : total;
}

/**
 * So many of the machine's GPUs, as CUDA_VISIBLE_DEVICES names them; where that is set, only of those that it lets this
 * process see.
 */
export function gpuDevices(env: NodeJS.ProcessEnv, count: number): readonly string[] {
  return (visibleDevices(env) ?? Array.from({ length: count }, (_, index) => String(index))).slice(0, count);
}

function visibleDevices({ CUDA_VISIBLE_DEVICES: visible }: NodeJS.ProcessEnv): readonly string[] | undefined {
  if (visible === undefined) return undefined;
  const devices = visible.split(',').map((device) => device.trim());
  const end = devices.findIndex((device) => device === '' || device.startsWith('-'));
  return end < 0 ? devices : devices.slice(0, end);
}

function gpus(env: NodeJS.ProcessEnv): number {
  const visible = visibleDevices(env);
  if (visible !== undefined) return visible.length;
  const driver = readFolder('/proc/driver/nvidia/gpus').length;
  // Containers may hide the driver's folder and still have the devices.
  return driver > 0 ? driver : readFolder('/dev').filter((name) => /^nvidia\d+$/.test(name)).length;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
