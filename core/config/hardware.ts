import { z } from 'zod';
import { byteSize } from './byte-size.js';

/** A kind of accelerator, or of machine without one: what it costs, and what it can do. */
export interface Hardware {
  /** Dollars an hour of each accelerator. Absent: not known. */
  readonly usdPerGpuHour?: number;
  /** Dollars an hour of each machine besides. */
  readonly usdPerNodeHour?: number;
  /** Of one accelerator. */
  readonly memoryBytes?: number;
  /** Operations a second of one accelerator, dense, as its data sheet says. */
  readonly bfloat16Flops?: number;
  readonly float32Flops?: number;
  /** Share of these that large matrix products keep up in training. */
  readonly sustainedShare?: number;
  /** Of the memory of one accelerator, in bytes a second. */
  readonly memoryBandwidth?: number;
  readonly gpusPerNode?: number;
  /** Between the accelerators of a machine, in bytes a second, each and one way. */
  readonly nodeBandwidth?: number;
  /** Between machines, in bytes a second for each accelerator, one way. */
  readonly networkBandwidth?: number;
}

export type HardwareTable = Readonly<Record<string, Hardware>>;

const positive = z.number().positive();

/** An entry of `hardware` in the settings. */
export const hardwareEntry = z.strictObject({
  usdPerGpuHour: z.number().min(0).optional().describe('Dollars an hour of each accelerator.'),
  usdPerNodeHour: z.number().min(0).optional().describe('Dollars an hour of each machine besides.'),
  memory: byteSize.optional().describe('Of one accelerator.'),
  bfloat16Flops: positive.optional().describe('Operations a second of one accelerator, dense.'),
  float32Flops: positive.optional().describe('The same in float32.'),
  sustainedShare: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe('Share of these that training keeps up in large products.'),
  memoryBandwidth: positive.optional().describe('Of the memory of one accelerator, in bytes a second.'),
  gpusPerNode: z.int().min(1).optional().describe('Accelerators in one machine.'),
  nodeBandwidth: positive.optional().describe('Between accelerators of a machine, in bytes a second, one way.'),
  networkBandwidth: positive.optional().describe('Between machines, in bytes a second for each accelerator, one way.'),
});

const gigabytes = 1e9;
const teraflops = 1e12;

/**
 * Data sheets of NVIDIA (dense figures, without sparsity) and common on-demand prices of late 2025. Prices differ by
 * provider and week: `hardware` in the settings goes before them. What training sustains is fitted for A100 and H100 (see
 * docs/estimates.md), measured for a large product on H200, and assumed for the others.
 */
export const builtInHardware = {
  'b200-sxm': {
    usdPerGpuHour: 4.99,
    memoryBytes: 180 * gigabytes,
    bfloat16Flops: 2250 * teraflops,
    float32Flops: 75 * teraflops,
    sustainedShare: 0.6,
    memoryBandwidth: 7700 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 900 * gigabytes,
    networkBandwidth: 50 * gigabytes,
  },
  'h200-sxm': {
    usdPerGpuHour: 3.79,
    memoryBytes: 141 * gigabytes,
    bfloat16Flops: 989 * teraflops,
    float32Flops: 67 * teraflops,
    sustainedShare: 0.8,
    memoryBandwidth: 4800 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 450 * gigabytes,
    networkBandwidth: 50 * gigabytes,
  },
  'h100-sxm': {
    usdPerGpuHour: 2.99,
    memoryBytes: 80 * gigabytes,
    bfloat16Flops: 989 * teraflops,
    float32Flops: 67 * teraflops,
    sustainedShare: 0.6,
    memoryBandwidth: 3350 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 450 * gigabytes,
    networkBandwidth: 50 * gigabytes,
  },
  'a100-80gb': {
    usdPerGpuHour: 1.79,
    memoryBytes: 80 * gigabytes,
    bfloat16Flops: 312 * teraflops,
    float32Flops: 19.5 * teraflops,
    sustainedShare: 0.8,
    memoryBandwidth: 2039 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 300 * gigabytes,
    networkBandwidth: 25 * gigabytes,
  },
  'a100-40gb': {
    usdPerGpuHour: 1.29,
    memoryBytes: 40 * gigabytes,
    bfloat16Flops: 312 * teraflops,
    float32Flops: 19.5 * teraflops,
    sustainedShare: 0.8,
    memoryBandwidth: 1555 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 300 * gigabytes,
    networkBandwidth: 25 * gigabytes,
  },
  l40s: {
    usdPerGpuHour: 0.99,
    memoryBytes: 48 * gigabytes,
    bfloat16Flops: 362 * teraflops,
    float32Flops: 91.6 * teraflops,
    sustainedShare: 0.6,
    memoryBandwidth: 864 * gigabytes,
    gpusPerNode: 8,
    nodeBandwidth: 32 * gigabytes,
    networkBandwidth: 12.5 * gigabytes,
  },
  a10g: {
    usdPerGpuHour: 1.01,
    memoryBytes: 24 * gigabytes,
    bfloat16Flops: 70 * teraflops,
    float32Flops: 35 * teraflops,
    sustainedShare: 0.7,
    memoryBandwidth: 600 * gigabytes,
    gpusPerNode: 4,
    nodeBandwidth: 16 * gigabytes,
    networkBandwidth: 5 * gigabytes,
  },
  'rtx-4090': {
    usdPerGpuHour: 0.44,
    memoryBytes: 24 * gigabytes,
    bfloat16Flops: 165 * teraflops,
    float32Flops: 82.6 * teraflops,
    sustainedShare: 0.7,
    memoryBandwidth: 1008 * gigabytes,
    gpusPerNode: 4,
    nodeBandwidth: 32 * gigabytes,
    networkBandwidth: 1.25 * gigabytes,
  },
} as const satisfies HardwareTable;

/** The built-in table with the entries of the settings, which may also complete or change those of the same name. */
export function hardwareTable(entries: Readonly<Record<string, z.output<typeof hardwareEntry>>> = {}): HardwareTable {
  const table: Record<string, Hardware> = { ...builtInHardware };
  for (const [name, { memory, ...entry }] of Object.entries(entries)) {
    const given = { ...entry, ...(memory === undefined ? {} : { memoryBytes: memory }) };
    const known = Object.entries(given).filter(([, value]) => value !== undefined);
    table[name] = { ...table[name], ...Object.fromEntries(known) };
  }
  return table;
}

/** What so many accelerators on so many machines cost an hour, in dollars; undefined where no price is known. */
export function usdPerHour(
  hardware: Hardware | undefined,
  held: { readonly gpus?: number; readonly nodes?: number },
): number | undefined {
  const { gpus = 0, nodes = 1 } = held;
  if (gpus > 0 && hardware?.usdPerGpuHour === undefined && hardware?.usdPerNodeHour === undefined) return undefined;
  return gpus * (hardware?.usdPerGpuHour ?? 0) + nodes * (hardware?.usdPerNodeHour ?? 0);
}
