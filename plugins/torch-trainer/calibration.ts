import { builtInHardware, type CalibrationRun, type Hardware } from 'simmerkit';
import { knownConfig } from './known-models.js';
import { shapeOf } from './model-shape.js';
import { longestOf, passSeconds, type SpeedShape, type TrainingWork } from './training-time.js';

type FitRow = readonly [
  model: keyof typeof mptShapes,
  sequenceLength: number,
  gpus: number,
  hardware: keyof typeof fitHardware,
  sequencesPerDevice: number,
  tokensPerSecondPerGpu: number,
  recomputes: boolean,
];

const mptShapes = {
  '1b': { hiddenSize: 2048, layers: 24, parameters: 1.31e9 },
  '3b': { hiddenSize: 2560, layers: 32, parameters: 2.65e9 },
  '7b': { hiddenSize: 4096, layers: 32, parameters: 6.65e9 },
  '13b': { hiddenSize: 5120, layers: 40, parameters: 12.85e9 },
  '30b': { hiddenSize: 7168, layers: 48, parameters: 29.97e9 },
  '70b': { hiddenSize: 8192, layers: 80, parameters: 64.86e9 },
} as const satisfies Record<string, SpeedShape>;

const { 'h100-sxm': h100, 'h200-sxm': h200, 'a100-80gb': a100 } = builtInHardware;
const fitHardware = { h100, a100 };

/** MPT models by FSDP, as llm-foundry publishes them; the model's constants were fixed by these rows and no others. */
const fitRows: readonly FitRow[] = [
  ['70b', 2048, 64, 'h100', 8, 1039, true],
  ['70b', 2048, 32, 'h100', 2, 882, true],
  ['30b', 8192, 8, 'h100', 1, 1384, true],
  ['30b', 4096, 8, 'h100', 1, 1802, true],
  ['30b', 2048, 32, 'h100', 14, 2308, true],
  ['30b', 2048, 16, 'h100', 10, 2263, true],
  ['30b', 2048, 8, 'h100', 3, 2002, true],
  ['13b', 32768, 8, 'h100', 1, 1976, true],
  ['13b', 16384, 8, 'h100', 3, 2985, true],
  ['13b', 4096, 8, 'h100', 10, 4717, true],
  ['13b', 2048, 64, 'h100', 2, 4800, false],
  ['13b', 2048, 8, 'h100', 2, 4792, false],
  ['7b', 32768, 8, 'h100', 2, 3318, true],
  ['7b', 8192, 8, 'h100', 8, 6935, true],
  ['7b', 4096, 8, 'h100', 16, 8611, true],
  ['7b', 2048, 8, 'h100', 6, 10643, false],
  ['3b', 16384, 8, 'h100', 1, 11152, false],
  ['3b', 4096, 8, 'h100', 5, 20964, false],
  ['3b', 2048, 64, 'h100', 6, 22525, false],
  ['1b', 4096, 8, 'h100', 7, 38535, false],
  ['1b', 32768, 8, 'h100', 1, 12025, false],
  ['70b', 2048, 64, 'a100', 8, 410, true],
  ['70b', 2048, 32, 'a100', 2, 373, true],
  ['30b', 8192, 8, 'a100', 1, 574, true],
  ['30b', 4096, 8, 'a100', 1, 814, true],
  ['30b', 2048, 8, 'a100', 3, 916, true],
  ['13b', 32768, 8, 'a100', 1, 1016, true],
  ['13b', 16384, 8, 'a100', 3, 1431, true],
  ['13b', 4096, 8, 'a100', 10, 2060, true],
  ['13b', 2048, 8, 'a100', 2, 2262, false],
];
const fitSource = 'mosaicml/llm-foundry, scripts/train/benchmarking/README.md, tables "H100 80GB BF16" and "A100 80GB"';

interface HeldOutRun {
  readonly run: string;
  readonly source: string;
  readonly shape: SpeedShape;
  readonly hardware: Hardware;
  readonly gpus: number;
  readonly sequenceLength: number;
  readonly sequencesPerDevice: number;
  /** Selective checkpointing is taken for half. */
  readonly recomputedShare: number;
  readonly tokensPerSecondPerGpu: number;
}

const shapes = {
  'Llama 2 7B': shapeOf(knownConfig('meta-llama/Llama-2-7b'))!,
  'Llama 2 13B': shapeOf(knownConfig('meta-llama/Llama-2-13b'))!,
  'CodeLlama 34B': { hiddenSize: 8192, layers: 48, parameters: 33.7e9 },
  'Llama 2 70B': { hiddenSize: 8192, layers: 80, parameters: 69e9 },
  'Llama 3 8B': shapeOf(knownConfig('meta-llama/Llama-3.1-8B'))!,
  'Llama 3 70B': shapeOf(knownConfig('meta-llama/Llama-3.1-70B'))!,
  'a Llama 3 of 14.84B': { hiddenSize: 5120, layers: 40, parameters: 14.84e9 },
} as const satisfies Record<string, SpeedShape>;

type Row = readonly [
  model: keyof typeof shapes,
  gpus: number,
  sequenceLength: number,
  sequencesPerDevice: number,
  recomputedShare: number,
  tokensPerSecondPerGpu: number,
  note?: string,
];

function runsOf(project: string, source: string, hardware: Hardware, chip: string, rows: readonly Row[]): HeldOutRun[] {
  return rows.map(([model, gpus, sequenceLength, sequencesPerDevice, recomputedShare, published, note = '']) => ({
    run: `${project}: ${model}, ${gpus} ${chip}${note}`,
    source,
    shape: shapes[model],
    hardware,
    gpus,
    sequenceLength,
    sequencesPerDevice,
    recomputedShare,
    tokensPerSecondPerGpu: published,
  }));
}

const titan = 'pytorch/torchtitan, docs/performance.md';
const fms = 'foundation-model-stack/fms-fsdp, README.md';
const kempner = 'KempnerInstitute/KempnerForge, benchmarks/mfu_scaling/mfu_scaling_2026-04-05.md';

const heldOutRuns: readonly HeldOutRun[] = [
  // H100 with HBM2e, as that page says.
  ...runsOf('torchtitan', titan, { ...h100, memoryBandwidth: 2.4e12 }, 'H100', [
    ['Llama 3 8B', 8, 8192, 2, 0.5, 5762],
    ['Llama 3 8B', 8, 8192, 2, 0.5, 6667, ', torch.compile'],
  ]),
  ...runsOf('torchtitan', `${titan}, 2024`, a100, 'A100', [
    ['Llama 3 8B', 64, 8192, 1, 0.5, 2973],
    ['Llama 3 70B', 64, 8192, 1, 1, 331],
    ['Llama 2 13B', 64, 4096, 2, 0, 2162],
    ['Llama 2 70B', 64, 4096, 2, 1, 353],
  ]),
  // Between machines 400 and 800 Gbit/s in all.
  ...runsOf('IBM', fms, { ...a100, networkBandwidth: 50e9 / 8 }, 'A100', [
    ['Llama 2 13B', 128, 4096, 2, 0.5, 1800],
    ['CodeLlama 34B', 128, 4096, 2, 1, 700],
  ]),
  ...runsOf('IBM', fms, { ...h100, networkBandwidth: 100e9 / 8 }, 'H100', [
    ['Llama 2 13B', 96, 4096, 2, 0.5, 3800],
    ['CodeLlama 34B', 96, 4096, 2, 1, 1550],
  ]),
  ...runsOf('KempnerForge', kempner, { ...h200, gpusPerNode: 4 }, 'H200', [
    ['Llama 3 8B', 1, 4096, 4, 1, 10_471],
    ['Llama 3 8B', 4, 4096, 4, 1, 38_983 / 4],
    ['a Llama 3 of 14.84B', 8, 4096, 4, 1, 35_405 / 8],
  ]),
];

/** Every published run, and what the model of docs/estimates.md says of it. */
export function calibrationRuns(): readonly CalibrationRun[] {
  return [...heldOutRuns.map(heldOut), s1(), ...fitRows.map(fitted)];
}

function fitted([model, length, gpus, hardware, perDevice, published, recomputes]: FitRow): CalibrationRun {
  const predicted = tokensPerSecond(mptShapes[model], fitHardware[hardware], gpus, {
    sequenceLength: length,
    sequencesPerDevice: perDevice,
    recomputedShare: recomputes ? 1 : 0,
  });
  return {
    run: `llm-foundry, MPT ${model}, ${gpus} ${hardware.toUpperCase()}, length ${length}, batch ${perDevice}`,
    source: fitSource,
    role: 'fit',
    unit: 'tokens/s/GPU',
    predicted,
    published,
  };
}

function heldOut(given: HeldOutRun): CalibrationRun {
  const { run, source, shape, hardware, gpus, sequenceLength, sequencesPerDevice, recomputedShare } = given;
  const predicted = tokensPerSecond(shape, hardware, gpus, { sequenceLength, sequencesPerDevice, recomputedShare });
  return { run, source, role: 'held out', unit: 'tokens/s/GPU', predicted, published: given.tokensPerSecondPerGpu };
}

/** 315 steps of 16 samples, one a device; its 1,000 samples have 4,700 tokens on average, and the usual spread. */
function s1(): CalibrationRun {
  const shape = shapeOf(knownConfig('Qwen/Qwen2.5-32B-Instruct'))!;
  const work = {
    sequenceLength: longestOf(16, 4700, 0.4),
    sequencesPerDevice: 1,
    recomputedShare: 1,
    trainsAll: true,
  };
  const hardware = h100;
  const seconds = 315 * passSeconds(shape, work, { hardware, gpus: 16, nodes: 2, precision: 'bfloat16' })!;
  return {
    run: 's1-32B, 16 H100, 5 epochs of s1K',
    source: 'arXiv 2501.19393, section 4.1: 26 minutes',
    role: 'held out',
    unit: 'minutes',
    predicted: seconds / 60,
    published: 26,
  };
}

function tokensPerSecond(
  shape: SpeedShape,
  hardware: Hardware,
  gpus: number,
  work: Omit<TrainingWork, 'trainsAll'>,
): number {
  const nodes = Math.max(1, gpus / (hardware.gpusPerNode ?? 8));
  const place = { hardware, gpus, nodes, precision: 'bfloat16' as const };
  const seconds = passSeconds(shape, { ...work, trainsAll: true }, place)!;
  return (work.sequenceLength * work.sequencesPerDevice) / seconds;
}
