import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatBytes, formatCount } from 'simmerkit';
import type { Bench } from './bench.js';
import { evaluationFiles, writePool } from './curation-pool.js';
import { runCuration } from './curation-run.js';

/**
 * `npm run bench -- curation-scale --data FOLDER`: time and memory of curation at 10 thousand, 100 thousand and a million
 * rows, tokens not counted. Rows are short, of some 60 words, so that a million fit; `--words 920` makes them as long as
 * s1's, `--rows 1000,10000` makes fewer.
 */
export const bench: Bench = async (args) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string', default: process.env.SIMMER_DATA ?? '' },
      rows: { type: 'string', default: '10000,100000,1000000' },
      words: { type: 'string', default: '40' },
    },
  });
  const data = resolve(values.data);
  const against = evaluationFiles(data);
  const sizes = [];
  for (const rows of values.rows.split(',').map(Number)) {
    const folder = await mkdtemp(join(tmpdir(), 'simmer-bench-'));
    try {
      const pool = join(folder, 'pool');
      await mkdir(pool);
      const planted = await writePool({
        folder: pool,
        rows,
        seed: 1,
        files: 2,
        data,
        traceWords: Number(values.words),
      });
      const run = await runCuration({ folder, pool, against, columns: ['question', 'reasoning'] });
      const microsecondsPerRow = (1e6 * run.cpuSeconds) / rows;
      console.log(
        `${formatCount(rows).padStart(10)} rows, ${formatBytes(planted.bytes)}: ${run.seconds.toFixed(1)} s, ` +
          `${microsecondsPerRow.toFixed(0)} µs of processor time a row, at most ${formatBytes(run.peakBytes)} of memory`,
      );
      const { seconds, cpuSeconds, peakBytes, longestHoldSeconds } = run;
      const rowsOut = run.stages.clean?.rowsOut;
      sizes.push({ rows, bytes: planted.bytes, seconds, cpuSeconds, peakBytes, longestHoldSeconds, rowsOut });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const perRow = sizes.map(({ rows, cpuSeconds }) => cpuSeconds / rows);
  return {
    // Processor time a row of the size before, over that of the largest: 1 is linear, more is better than that.
    ratios: { 'vs-linear': (perRow.at(-2) ?? 0) / (perRow.at(-1) ?? 1) },
    goals: { 'vs-linear': 0.9, peakBytes: 2e9 },
    words: Number(values.words),
    sizes,
  };
};
