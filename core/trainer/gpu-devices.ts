import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { writingToCache } from '../config/cache-folder.js';
import { writeFileDurably } from '../files/durable-files.js';
import type { Resources } from '../plugin/resources.js';
import { isAlive, machineIdentity, type ProcessIdentity, processIdentity } from '../process/process-identity.js';
import { waitForLock } from '../process/wait-for-lock.js';

/** GPUs by their names in CUDA_VISIBLE_DEVICES, each with a process that has it until it ends. */
const heldGpus = z.array(z.object({ device: z.string(), pid: z.int(), startTime: z.string() }));

type HeldGpu = z.output<typeof heldGpus>[number];

/** GPUs that are set aside for a process that is about to start. */
export interface GpuClaim {
  /** As CUDA_VISIBLE_DEVICES names them. */
  readonly devices: readonly string[];
  /** Those that a process that still runs has as well: no other was free. */
  readonly shared: readonly string[];
  /** The process that has them from now on. */
  passTo(holder: ProcessIdentity): Promise<void>;
  /** The process did not start. */
  drop(): Promise<void>;
}

/** How many GPUs of this machine are meant: they are counted over all nodes, and this machine is one of them. */
export function gpusHere(wanted: Resources): number {
  return Math.ceil((wanted.gpus ?? 0) / Math.max(1, wanted.nodes ?? 1));
}

/** The variable by which a process sees these GPUs alone, as PyTorch and all that uses CUDA or ROCm reads it. */
export function gpuVariables(devices: readonly string[] | undefined): { readonly CUDA_VISIBLE_DEVICES?: string } {
  return devices === undefined ? {} : { CUDA_VISIBLE_DEVICES: devices.join(',') };
}

/**
 * Gives each trainer on this machine GPUs of its own, whichever run and core started it. Who has which is kept in a file
 * of the user's cache; what a process had is free when it has ended.
 */
export class GpuDevices {
  readonly #cacheFolder: string;
  readonly #devices: readonly string[];

  /** @param devices of this machine that may be given, as CUDA_VISIBLE_DEVICES names them */
  constructor(cacheFolder: string, devices: readonly string[]) {
    this.#cacheFolder = cacheFolder;
    this.#devices = devices;
  }

  /** Undefined where this machine is not known to have so many: whoever starts then sees all there are. */
  async claim(count: number, signal: AbortSignal): Promise<GpuClaim | undefined> {
    if (count === 0 || count > this.#devices.length) return undefined;
    const own = await processIdentity(process.pid);
    if (own === undefined) return undefined;
    const { devices, shared } = await this.#change(signal, (held) => {
      const holders = (device: string) => held.filter((one) => one.device === device).length;
      const chosen = this.#devices.toSorted((one, other) => holders(one) - holders(other)).slice(0, count);
      return {
        held: [...held, ...chosen.map((device) => ({ device, ...own }))],
        result: { devices: chosen, shared: chosen.filter((device) => holders(device) > 0) },
      };
    });
    const replace = async (holder: ProcessIdentity | undefined) => {
      // Also where the run was stopped meanwhile: the process is there.
      await this.#change(new AbortController().signal, (held) => {
        const left = [...held];
        for (const device of devices) {
          const at = left.findIndex((one) => one.device === device && one.pid === own.pid);
          if (at >= 0) left.splice(at, 1);
        }
        const passed = holder === undefined ? [] : devices.map((device) => ({ device, ...holder }));
        return { held: [...left, ...passed], result: undefined };
      });
    };
    return { devices, shared, passTo: replace, drop: () => replace(undefined) };
  }

  async #change<T>(
    signal: AbortSignal,
    change: (held: readonly HeldGpu[]) => { readonly held: readonly HeldGpu[]; readonly result: T },
  ): Promise<T> {
    const folder = await gpusFolder(this.#cacheFolder);
    return writingToCache(this.#cacheFolder, async () => {
      await using _lock = await waitForLock(folder, { signal, onWait: () => {} });
      const file = join(folder, 'held.json');
      const { held, result } = change(await livingIn(file));
      await writeFileDurably(file, `${JSON.stringify(held)}\n`);
      return result;
    });
  }
}

/** A cache may be shared by several machines, each with processes and GPUs of its own, whose names may change. */
export async function gpusFolder(cacheFolder: string): Promise<string> {
  const machine = (await machineIdentity()) ?? hostname();
  return join(cacheFolder, 'gpus', createHash('sha256').update(machine).digest('hex').slice(0, 16));
}

async function livingIn(file: string): Promise<readonly HeldGpu[]> {
  let held: readonly HeldGpu[];
  try {
    held = heldGpus.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // Not there yet; one that is damaged tells as little.
    return [];
  }
  const alive = await Promise.all(held.map(isAlive));
  return held.filter((_, index) => alive[index]);
}
