import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { formatBytes, formatCount } from 'simmerkit';
import { checkPython, root, runPython } from '../python/check-python.js';
import type { Bench } from './bench.js';
import { agreement, droppedByDatatrove, droppedByPlain, droppedBySimmer } from './curation-agreement.js';
import { measureNear } from './curation-near.js';
import { evaluationFiles, writePool } from './curation-pool.js';
import { type CurationRun, runCuration, settings } from './curation-run.js';
import { qwenTokenizer } from './qwen-tokenizer.js';

/** A peer's figures, as its script prints them. */
interface PeerRun {
  /** From start to exit of the process. */
  readonly seconds: number;
  readonly steps: Readonly<Record<string, number>>;
  /** Of its largest process. */
  readonly peakBytes: number;
  /** Of all its processes. */
  readonly cpuSeconds: number;
}

/**
 * `npm run bench -- curation --data FOLDER`: curation of a pool as large as s1's, by `simmer run`, by datatrove and by
 * plain Python, one after the other on the same files. `--rows 5000` is a short run; `--sides plain` leaves
 * datatrove out, `--sides none` both; `--without-tokens` counts none; `--columns question` compares questions only, as s1 does.
 */
export const bench: Bench = async (args) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string', default: process.env.SIMMER_DATA ?? '' },
      rows: { type: 'string', default: '59029' },
      seed: { type: 'string', default: '1' },
      columns: { type: 'string', default: 'question,reasoning' },
      near: { type: 'string', default: '3000' },
      'without-tokens': { type: 'boolean', default: false },
      sides: { type: 'string', default: 'datatrove,plain' },
    },
  });
  const data = resolve(values.data);
  const against = evaluationFiles(data);
  const sides = new Set(values.sides.split(','));
  const columns = values.columns.split(',');
  const tokenizer = values['without-tokens'] ? {} : { tokenizer: await qwenTokenizer() };
  const folder = await mkdtemp(join(tmpdir(), 'simmer-bench-'));
  try {
    const own = async (name: string) => {
      await mkdir(join(folder, name));
      return join(folder, name);
    };
    const pool = await own('pool');
    const planted = await writePool({
      folder: pool,
      rows: Number(values.rows),
      seed: Number(values.seed),
      files: 2,
      data,
    });
    console.log(`A pool of ${formatCount(planted.rows)} rows, ${formatBytes(planted.bytes)}.`);
    const simmer = await runCuration({ folder: await own('simmer'), pool, against, columns, ...tokenizer });
    sayStages(simmer);
    const dropped = await droppedBySimmer(simmer);
    const shared = simmer.seconds - sum(separate.map((stage) => simmer.stages[stage]?.seconds ?? 0));
    const near = await measureNear(await textsOf(pool, columns, Number(values.near)), await own('near'));
    console.log(
      `Near duplicates among ${near.texts} texts: ${near.pairs} pairs, recall ${near.recall.toFixed(4)}; ` +
        `${near.dropped} dropped, precision ${near.precision.toFixed(4)}.`,
    );
    const compare = async (name: string, given: readonly string[], theirs: typeof droppedByPlain) => {
      if (!sides.has(name)) return undefined;
      const output = await own(name);
      const files = ['--pool', pool, '--against', ...against, '--columns', ...columns, '--output', output];
      const peer = await runPeer(`curation_${name}.py`, [...files, ...given]);
      const ratio = (peer.seconds - (peer.steps.select ?? 0)) / shared;
      // Of processor time: less moved by what else the machine does. Where tokens are counted, theirs is in it.
      const processorRatio = peer.cpuSeconds / simmer.cpuSeconds;
      return {
        ratio: rounded(ratio),
        processorRatio: rounded(processorRatio),
        ...peer,
        agreement: agreement(dropped, await theirs(output)),
      };
    };
    const { similarity, shingleWords, hashes, ngramWords } = settings;
    const words = ['--shingle', String(shingleWords), '--words', String(ngramWords)];
    const more = ['--similarity', String(similarity), '--hashes', String(hashes)];
    const datatrove = await compare('datatrove', words, droppedByDatatrove);
    const python = await compare('plain', [...words, ...more], droppedByPlain);
    return {
      ratios: {
        ...(datatrove === undefined ? {} : { 'vs-datatrove': datatrove.ratio }),
        ...(python === undefined ? {} : { 'vs-python': python.ratio }),
      },
      goals: { 'vs-datatrove': 5, 'vs-python': 10, wholeSeconds: 60, peakBytes: 2e9 },
      pool: planted,
      columns,
      wholeSeconds: rounded(simmer.seconds),
      sharedSeconds: rounded(shared),
      peakBytes: simmer.peakBytes,
      cpuSeconds: rounded(simmer.cpuSeconds),
      longestHoldSeconds: rounded(simmer.longestHoldSeconds),
      usualHoldSeconds: rounded(simmer.usualHoldSeconds),
      stageSeconds: mapped(simmer.stages, ({ seconds }) => rounded(seconds)),
      rowsPerSecond: mapped(simmer.stages, ({ rowsIn, seconds }) => Math.round(rowsIn / seconds)),
      rowsOut: mapped(simmer.stages, ({ rowsOut }) => rowsOut),
      near,
      datatrove,
      python,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** The first texts of the pool. */
async function textsOf(pool: string, columns: readonly string[], count: number): Promise<readonly string[]> {
  const texts: string[] = [];
  for await (const line of createInterface({ input: createReadStream(join(pool, '0.jsonl')) })) {
    const row = JSON.parse(line) as Readonly<Record<string, string>>;
    texts.push(columns.map((column) => row[column]).join('\n'));
    if (texts.length >= count) break;
  }
  return texts;
}

/** Stages that are left out of the ratios: datatrove has no such steps, or tokens are counted. */
const separate = ['model', 'counted', 'selected'];

async function runPeer(script: string, args: readonly string[]): Promise<PeerRun> {
  const python = await checkPython('curation-peers', join(root, 'test/bench/curation.lock.txt'));
  const startedAt = performance.now();
  const { lastLine, code } = await runPython(python, [join(root, 'test/bench', script), ...args]);
  if (code !== 0) throw new Error(`${script} ended with ${code}.`);
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds: rounded(seconds), ...(JSON.parse(lastLine) as Omit<PeerRun, 'seconds'>) };
}

function sayStages({ stages, seconds, peakBytes }: CurationRun): void {
  for (const [stage, { seconds, rowsIn, rowsOut }] of Object.entries(stages)) {
    console.log(
      `${seconds.toFixed(2).padStart(8)} s  ${stage.padEnd(12)} ${formatCount(rowsIn)} -> ${formatCount(rowsOut)}`,
    );
  }
  console.log(`${seconds.toFixed(2).padStart(8)} s  in all, at most ${formatBytes(peakBytes)} of memory`);
}

function mapped<T, U>(values: Readonly<Record<string, T>>, change: (value: T) => U): Readonly<Record<string, U>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
